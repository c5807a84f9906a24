package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/clusterless-go/clusterless/vet"
)

func vetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "vet [FLAGS OF GO VET] [PACKAGES]",
		Short: "Find mistakes in the source of a program that uses clusterless",
		Long: "Find mistakes in the source of a program that uses clusterless: variables that main sets and workers do not have,\n" +
			"functions that workers do not get to, types that cannot be sent, names that are taken.\n" +
			"It is short for go vet -vettool=CLUSTERLESS, where CLUSTERLESS is the path of this command.",
		Example:               "  clusterless vet ./...",
		DisableFlagParsing:    true, // they are for go vet
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "--help" }) {
				return cmd.Help()
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("vet: %w", err)
			}
			c := exec.CommandContext(cmd.Context(), "go", append([]string{"vet", "-vettool=" + self}, args...)...)
			c.Stdout, c.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = c.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return errors.New("vet: something is wrong, see above")
			}
			if err != nil {
				return fmt.Errorf("vet: go vet does not run: %w", err)
			}
			return nil
		},
	}
}

// isVetTool reports whether it is go vet that runs the command: with -V=full, with -flags, or with flags and the
// description of a package.
func isVetTool(args []string) bool {
	if len(args) == 0 {
		return false
	}
	last := args[len(args)-1]
	for _, a := range args[:len(args)-1] {
		if !strings.HasPrefix(a, "-") {
			return false
		}
	}
	return last == "-V=full" || last == "-flags" || strings.HasSuffix(last, ".cfg")
}

// vetTool is the command as go vet runs it. It does not return.
func vetTool() { unitchecker.Main(vet.Analyzer) }
