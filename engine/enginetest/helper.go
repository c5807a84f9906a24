//go:build unix

package enginetest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
)

// helperArg makes a test binary the helper program instead.
const helperArg = "enginetest-task"

// Main is for TestMain of a driver's tests: it makes the test binary the program that the suite's jobs run, when an
// engine starts it as such, and runs the tests otherwise.
//
//	func TestMain(m *testing.M) { enginetest.Main(m) }
func Main(m *testing.M) {
	Helper()
	os.Exit(m.Run())
}

// Helper is the part of [Main] before the tests, for a TestMain that does more: in a process that an engine started as the
// helper program it does not return.
func Helper() {
	if len(os.Args) > 1 && os.Args[1] == helperArg {
		os.Exit(task(os.Args[2:]))
	}
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0") // or each task of -race takes a second to exit
}

// Command is a command that runs a script in the helper program at path; "" is the running test binary. The steps
// of a script are, with {job}, {task}, {attempt} and {pid} replaced:
//
//	print:TEXT        a line on stdout
//	stderr:TEXT       a line on stderr
//	flood:BYTES       as much output
//	append:FILE:TEXT  a line added to a file
//	shell:COMMAND     by sh
//	sleep:DURATION
//	wait:FILE         until the file is there
//	want:NAME=VALUE   exit code 9 unless the environment says so; NAME alone: unless it is set
//	on:TASK:STEP      the step, if that is the task
//	alloc:BYTES       memory, written to, and kept
//	child:SECONDS     starts a process that sleeps, in the same process group, and prints its number
//	escape:SECONDS    the same in a session of its own
//	ignore:           SIGTERM and SIGQUIT
//	signal:NUMBER     to itself
//	beat:             resident only
//	retire:           resident only: after this run
//	hangup:           resident only: closes the control socket
//	exit:CODE         ends the run
//	die:CODE          ends the process
//
// If the first step is "silent:" a resident process never greets; if it is "refuse:TEXT" it prints the text and
// exits with code 78 before it greets.
func Command(path string, script ...string) []string {
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			panic(err)
		}
	}
	return append([]string{path, helperArg}, script...)
}

// A helper makes runs.
type helper struct {
	script  []string
	job     string
	task    int
	attempt int
	control *os.File
	retire  bool
	memory  [][]byte
}

// task is main of the helper program.
func task(script []string) int {
	h := &helper{script: script}
	control := os.Getenv(contract.EnvControl)
	if control == "" {
		h.job = os.Getenv(contract.EnvJob)
		h.task, _ = strconv.Atoi(os.Getenv(contract.EnvTask))
		h.attempt, _ = strconv.Atoi(os.Getenv(contract.EnvAttempt))
		return h.run()
	}
	fd, err := strconv.Atoi(control)
	if err != nil {
		fmt.Fprintln(os.Stderr, "control descriptor:", err)
		return contract.ExitStart
	}
	syscall.CloseOnExec(fd)
	h.control = os.NewFile(uintptr(fd), "control")
	if len(script) > 0 {
		switch verb, arg, _ := strings.Cut(script[0], ":"); verb {
		case "silent":
			time.Sleep(time.Hour)
		case "refuse":
			fmt.Println(arg)
			return contract.ExitStart
		}
	}
	contract.Write(h.control, contract.Message{Kind: contract.Ready})
	for r := contract.NewReader(h.control); ; {
		m, err := r.Read()
		if err == io.EOF {
			return 0
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "control:", err)
			return contract.ExitStart
		}
		h.job, h.task, h.attempt = m.Job, m.Task, m.Attempt
		done := contract.Message{Kind: contract.Done, Job: m.Job, Task: m.Task, Attempt: m.Attempt, Code: h.run(), Retire: h.retire}
		if done.Code != 0 {
			done.Reason = "the script says so"
		}
		contract.Write(h.control, done)
		if h.retire {
			return 0
		}
	}
}

// run runs the script once and returns its exit code.
func (h *helper) run() int {
	for _, step := range h.script {
		code, end := h.step(step)
		if end {
			return code
		}
	}
	return 0
}

// step makes one step, and says whether the run ends with it.
func (h *helper) step(step string) (code int, end bool) {
	step = strings.NewReplacer("{job}", h.job, "{task}", strconv.Itoa(h.task), "{attempt}", strconv.Itoa(h.attempt),
		"{pid}", strconv.Itoa(os.Getpid())).Replace(step)
	verb, arg, _ := strings.Cut(step, ":")
	switch verb {
	case "print":
		fmt.Println(arg)
	case "stderr":
		fmt.Fprintln(os.Stderr, arg)
	case "flood":
		n, _ := strconv.Atoi(arg)
		line := strings.Repeat("x", 1023) + "\n"
		block := strings.Repeat(line, 64)
		for ; n > 0; n -= len(block) {
			os.Stdout.WriteString(block)
		}
	case "append":
		file, text, _ := strings.Cut(arg, ":")
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fail(err)
		}
		f.Chmod(0o666) // nodes may have users of their own; only the first can
		f.WriteString(text + "\n")
		f.Close()
	case "shell":
		if err := exec.Command("sh", "-c", arg).Run(); err != nil {
			return fail(err)
		}
	case "sleep":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return fail(err)
		}
		time.Sleep(d)
	case "wait":
		for {
			if _, err := os.Stat(arg); err == nil {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	case "want":
		name, value, exact := strings.Cut(arg, "=")
		got, set := os.LookupEnv(name)
		if !set || exact && got != value {
			fmt.Printf("%s is %q (set: %v), want %q\n", name, got, set, value)
			return 9, true
		}
	case "on":
		at, rest, _ := strings.Cut(arg, ":")
		if at == strconv.Itoa(h.task) {
			return h.step(rest)
		}
	case "alloc":
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		h.memory = append(h.memory, b)
	case "child", "escape":
		cmd := exec.Command("sleep", arg)
		if verb == "escape" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		if err := cmd.Start(); err != nil {
			return fail(err)
		}
		fmt.Println("child", cmd.Process.Pid)
	case "ignore":
		signal.Ignore(syscall.SIGTERM, syscall.SIGQUIT)
	case "signal":
		n, _ := strconv.Atoi(arg)
		syscall.Kill(os.Getpid(), syscall.Signal(n))
		time.Sleep(time.Hour)
	case "beat":
		contract.Write(h.control, contract.Message{Kind: contract.Beat})
	case "retire":
		h.retire = true
	case "hangup":
		h.control.Close()
		time.Sleep(time.Hour)
	case "exit":
		code, _ := strconv.Atoi(arg)
		return code, true
	case "die":
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	default:
		return fail(fmt.Errorf("unknown step %q", step))
	}
	return 0, false
}

func fail(err error) (int, bool) {
	fmt.Fprintln(os.Stderr, err)
	return 99, true
}
