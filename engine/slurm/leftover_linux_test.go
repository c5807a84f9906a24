package slurm_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An agent removes what agents that were killed have left on its node, also one that had its own process number; not what others use.
func TestAgentSweeps(t *testing.T) {
	script, err := os.ReadFile("agent.sh")
	if err != nil {
		t.Fatal(err)
	}
	_, prepare, _ := strings.Cut(string(script), "\nprepare() {")
	prepare, _, ok := strings.Cut(prepare, "\n}\n")
	if !ok {
		t.Fatal("agent.sh has no function prepare")
	}
	cmd := exec.Command("bash", "-c", "prepare() {"+prepare+`
}
tmp=$1 node=n1 me=7
space=$(readlink /proc/self/ns/pid) space=${space//[!0-9]/}
mkdir -p "$tmp/clusterless-$UID-n1-"{"7-$space-$$","6-$space-$$","5-$space-$PPID","4-$space-999999999","3-1-$$"}/old
prepare || exit
cd "$tmp"
for d in clusterless-$UID-n1-*; do echo "${d#clusterless-$UID-n1-}" $(ls "$d"); done | sed "s/$space/SPACE/; s/-$$ /-ME /; s/-$PPID /-OTHER /"`, "agent", t.TempDir())
	out, err := cmd.CombinedOutput()
	if want := "3-1-ME old\n5-SPACE-OTHER old\n7-SPACE-ME scratch\n"; err != nil || string(out) != want {
		t.Errorf("%v; left is\n%s, want\n%s", err, out, want)
	}
}
