package keeper

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A message goes between the program and the keeper over a socket: its length in four bytes, then JSON. Open files
// travel with the length.
type message struct {
	Kind    kind
	View    *View    `json:",omitempty"`
	Command *Command `json:",omitempty"`
	Reason  string   `json:",omitempty"`
	Missing bool     `json:",omitempty"`
	Status  Status
	files   []*os.File
}

type kind string

const (
	setUp  kind = "set up" // to the keeper: first, once; with the network namespace, if any
	run    kind = "run"    // a command, with its stdout and stderr
	kill   kind = "kill"   // whatever there is
	left   kind = "left"   // is there any process?
	ready  kind = "ready"  // from the keeper: it is set up
	began  kind = "began"  // the command runs
	failed kind = "failed" // set up or run did not work
	ended  kind = "ended"  // the command ended; others that it started may live
	empty  kind = "empty"  // nothing is left
	some   kind = "some"   // something is
)

// maxMessage is more than the kernel allows for arguments and environment.
const maxMessage = 16 << 20

func send(c *net.UnixConn, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("keeper: a command of %d bytes", len(body))
	}
	var rights []byte
	if len(m.files) > 0 {
		fds := make([]int, len(m.files))
		for i, f := range m.files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix(binary.BigEndian.AppendUint32(nil, uint32(len(body))), rights, nil); err != nil {
		return err
	}
	_, err = c.Write(body)
	return err
}

func receive(c *net.UnixConn) (message, error) {
	var m message
	head, oob := make([]byte, 4), make([]byte, unix.CmsgSpace(4*4))
	n, oobn, _, _, err := c.ReadMsgUnix(head, oob)
	if err != nil {
		return m, err
	}
	if m.files, err = opened(oob[:oobn]); err != nil {
		return m, err
	}
	if n == 0 {
		return m, io.EOF
	}
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return m, err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxMessage {
		return m, fmt.Errorf("keeper: a message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return m, err
	}
	return m, json.Unmarshal(body, &m)
}

// opened are the files that came with a message.
func opened(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
