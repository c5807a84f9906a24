package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless/emulator"
)

// emulatorCommand serves Azure Batch on this machine until it is interrupted.
func emulatorCommand() *cobra.Command {
	var o emulator.Options
	var verbose bool
	var quota emulator.Quota
	c := &cobra.Command{
		Use:   "emulator",
		Short: "Serve the Azure Batch API on this machine, and run what it is told",
		Long: "Emulator serves an Azure Batch account on this machine: pools whose nodes are directories, jobs and tasks that really run.\n" +
			"It prints how to reach it, and runs until it is interrupted. With --state it is the same account when it is started again.\n" +
			"Everybody who has the account's key, which is in a file of the state, can run commands on this machine.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			if cmd.Flags().Changed("cores") || cmd.Flags().Changed("low-priority-cores") {
				quota.Pools, quota.Jobs, quota.Nodes, quota.InterNodeNodes = 100, 300, 2000, 100
				o.Quota = &quota
			}
			temporary := o.Dir == ""
			if temporary {
				dir, err := os.MkdirTemp("", "clusterless-emulator-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(dir)
				if err := os.Chmod(dir, 0o755); err != nil { // users of tasks have to get through
					return err
				}
				o.Dir = dir
			}
			s, err := emulator.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			describe(cmd, s, o.Dir, temporary)
			<-cmd.Context().Done()
			return s.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&o.Addr, "listen", "127.0.0.1:10100",
		"address to listen at; whoever reaches it and has the key can run commands here")
	f.StringVar(&o.Dir, "state", "", "directory for the state, the key and the nodes (default: a temporary one)")
	f.StringVar(&o.Account, "account", "emulator", "name of the account")
	f.BoolVar(&o.HTTPS, "https", false, "serve https, with a certificate of its own authority")
	f.Float64Var(&o.Speed, "speed", 1, "how many times faster than real time the account's clock runs")
	f.StringVar(&o.Simulate, "simulate", "", `simulate all nodes, as "task=2s,spread=0.1,fail=0.01,preempt=0.5"`)
	f.BoolVar(&o.Isolate, "isolate", false, "give each node a network of its own (needs root)")
	f.StringSliceVar(&o.Forward, "forward", nil, "addresses of 127.0.0.1 that isolated nodes reach too")
	f.StringVar(&o.MountPoint, "mount-point", "", `where tasks see the tree of their node, as "/mnt/batch/tasks" (needs root)`)
	f.DurationVar(&o.AllocationTime, "allocation-time", time.Second, "time to find nodes")
	f.DurationVar(&o.BootTime, "boot-time", time.Second, "time that a node takes to start")
	f.DurationVar(&o.PreemptedTime, "preempted-time", 30*time.Second, "time that a preempted node is away")
	f.IntVar(&quota.DedicatedCores, "cores", 0, "quota of dedicated cores (0: no limit)")
	f.IntVar(&quota.LowPriorityCores, "low-priority-cores", 0, "quota of low-priority cores (0: no limit)")
	f.BoolVarP(&verbose, "verbose", "v", false, "say more")
	return c
}

// describe prints how clients reach the emulator. It prints no secret: the key and the identity's header are in files that
// only their owner can read.
func describe(cmd *cobra.Command, s *emulator.Server, dir string, temporary bool) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "AZURE_BATCH_ACCOUNT=%s\nAZURE_BATCH_ENDPOINT=%s\n", s.Account(), s.URL())
	if s.CAFile() != "" {
		fmt.Fprintf(out, "SSL_CERT_FILE=%s\n", s.CAFile())
	}
	file := filepath.Join(dir, "environment")
	lines := append([]string{"AZURE_BATCH_ACCESS_KEY=" + s.Key()}, s.Environ()...)
	if err := replaceFile(file, strings.Join(lines, "\n")+"\n"); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "clusterless: the credentials could not be written: %v\n", err)
	} else {
		fmt.Fprintf(out, "# The key, and what DefaultAzureCredential needs, as variables: %s\n", file)
	}
	if temporary {
		fmt.Fprintln(out, "# The state is temporary; --state keeps it.")
	}
}

// replaceFile writes a file of the user's own, whole or not at all.
func replaceFile(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".environment-") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
