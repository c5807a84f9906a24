package node

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

// NewID makes an id as Azure gives to nodes of a dedicated or of a Spot ("low-priority") virtual machine.
func NewID(dedicated bool) string {
	var b [32]byte
	rand.Read(b[:])
	kind := "_p"
	if dedicated {
		kind = "_d"
	}
	return "tvmps_" + hex.EncodeToString(b[:]) + kind
}

// LoopbackAddresses is how many addresses LoopbackAddress has.
const LoopbackAddresses = 1 << 20

// LoopbackAddress is the n-th address of nodes, for n from 0 to LoopbackAddresses-1: 127.64.0.1, 127.64.0.2 and so on. All of
// 127.0.0.0/8 is this machine without any set-up on Linux; the part that others use most is left alone.
func LoopbackAddress(n int) netip.Addr {
	n = n%LoopbackAddresses + 1
	return netip.AddrFrom4([4]byte{127, byte(64 + n>>16), byte(n >> 8), byte(n)})
}

// hostname is a name for the node that hosts may have: no underscore, 63 characters at most.
func hostname(id string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, id)
	if len(name) > 24 {
		name = fmt.Sprintf("%s-%08x", strings.TrimRight(name[:15], "-"), hash(id))
	}
	return strings.Trim(name, "-")
}

func hash(parts ...string) uint32 {
	h := fnv.New32a()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum32()
}

// The numbers of users that the node makes up begin here, far from those that people have. They depend on the names only,
// so that a task has the same user after a restart; that two tasks on this machine get the same one is possible but rare.
const (
	firstUser = 1 << 30
	userCount = 1 << 29
)

func userNumber(parts ...string) int { return firstUser + int(hash(parts...)%userCount) }

// A login is who a task runs as, in all details.
type login struct {
	name     string // for AZ_BATCH_TASK_USER
	identity string // for AZ_BATCH_TASK_USER_IDENTITY
	uid, gid int
	capable  bool
}

// group is the one that all automatic users of the node are in.
const groupName = "_azbatchgrp"

func (n *Node) group() int { return userNumber(n.c.ID, "group") }

// login finds out who a task runs as. Names are those that Azure's nodes have, as far as they are known: _azbatch and
// _azbatchtask_start were seen there, in _azbatchgrp. An administrator is root.
func (n *Node) login(t *Task) (login, error) {
	if name := t.User.UserName; name != "" {
		for _, u := range n.c.Users {
			if u.Name == name {
				return n.named(u), nil
			}
		}
		return login{}, fmt.Errorf("the pool has no user %q", name)
	}
	scope := t.User.Scope
	if scope == ScopeDefault {
		scope = ScopePool
		if t.Kind == KindStart || t.Kind == KindRelease {
			scope = ScopeTask
		}
	}
	l := login{gid: n.group()}
	if scope == ScopePool {
		l.name, l.identity, l.uid = "_azbatch", "PoolNonAdmin", userNumber(n.c.ID, "pool")
	} else {
		l.identity, l.uid = "TaskNonAdmin", userNumber(n.c.ID, "task", t.Job, t.ID)
		l.name = fmt.Sprintf("_azbatchtask_%d", l.uid-firstUser)
		if t.Kind == KindStart {
			l.name = "_azbatchtask_start"
		}
	}
	if t.User.Admin {
		l.name, l.uid, l.gid = "root", 0, 0
		l.identity = strings.Replace(l.identity, "NonAdmin", "Admin", 1)
	}
	return l, nil
}

func (n *Node) named(u User) login {
	l := login{name: u.Name, identity: "NamedUser", uid: u.UID, gid: u.GID, capable: u.Admin}
	if l.uid == 0 {
		l.uid, l.gid = userNumber(n.c.ID, "user", u.Name), n.group()
	}
	return l
}

// keeperUser is the login for a command; nil when everything runs as the emulator's user.
func (n *Node) keeperUser(l login) *keeper.User {
	if !n.root {
		return nil
	}
	return &keeper.User{UID: l.uid, GID: l.gid, Capable: l.capable}
}

// passwd and groups are lines for the accounts that a task sees: its own and the pool's.
func (n *Node) passwd(l login, home string) string {
	var b strings.Builder
	line := func(l login, home string) { fmt.Fprintf(&b, "%s:x:%d:%d::%s:/bin/sh\n", l.name, l.uid, l.gid, home) }
	if l.uid != 0 {
		line(l, home)
	}
	for _, u := range n.c.Users {
		if u.Name != l.name {
			line(n.named(u), "/")
		}
	}
	return b.String()
}

func (n *Node) groups() string { return fmt.Sprintf("%s:x:%d:\n", groupName, n.group()) }
