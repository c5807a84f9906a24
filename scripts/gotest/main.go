// Gotest is go test for CI: it prints the ordinary line of each package and the output of tests that fail, says at the
// end how many tests were run, and fails also if a test was skipped, since a test that skips in CI is a test that never
// runs. Its arguments are those of go test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	began := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var (
		tests, packages int
		failed, skipped []string
		output          = map[string][]string{} // of tests, and of packages beside their tests, until their end is known
		lines           = bufio.NewScanner(out)
	)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			output[name] = append(output[name], e.Output)
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action != "skip" { // which is a package without tests
					packages++
				}
				for _, l := range output[name] {
					if e.Action == "fail" || strings.HasPrefix(l, "ok ") {
						fmt.Print(l)
					}
				}
				for n := range output { // of a package that died, also what its unfinished tests said
					if strings.HasPrefix(n, e.Package+" ") {
						if e.Action == "fail" && n != name {
							fmt.Print(strings.Join(output[n], ""))
						}
						delete(output, n)
					}
				}
				if e.Action == "fail" {
					failed = append(failed, e.Package)
				}
				continue
			}
			tests++
			switch e.Action {
			case "fail":
				failed = append(failed, name)
			case "skip":
				skipped = append(skipped, name)
			}
			if e.Action != "pass" {
				fmt.Print(strings.Join(output[name], ""))
			}
			delete(output, name)
		}
	}
	scanErr := lines.Err()
	runErr := cmd.Wait()
	fmt.Printf("%d tests ran in %d packages, %d skipped, in %v\n", tests-len(skipped), packages, len(skipped), time.Since(began).Round(time.Second))
	switch {
	case len(failed) > 0:
		return fmt.Errorf("failed:\n  %s", strings.Join(failed, "\n  "))
	case runErr != nil:
		return fmt.Errorf("go test: %w", runErr)
	case scanErr != nil:
		return fmt.Errorf("output of go test: %w", scanErr)
	case len(skipped) > 0:
		return fmt.Errorf("skipped, which counts as failed here:\n  %s", strings.Join(skipped, "\n  "))
	case tests == 0:
		return fmt.Errorf("no tests ran")
	}
	return nil
}
