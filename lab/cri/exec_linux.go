package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
	remotecommand "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/sluicehq/sluice/lab/network"
)

// maxExecOutput bounds what ExecSync keeps of each stream, as other runtimes do.
const maxExecOutput = 16 << 20

// enter runs f on a thread that is inside the container: what f executes sees
// the container's files, processes, host name and network, and belongs to it.
func (c *container) enter(f func() error) error {
	c.mu.Lock()
	id, running := c.process, !c.started.IsZero() && c.finished.IsZero()
	c.mu.Unlock()
	if !running || !id.Alive() {
		return status.Errorf(codes.FailedPrecondition, "container %s does not run", c.id)
	}
	done := make(chan error, 1)
	go func() {
		goruntime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- func() error {
			target, err := unix.PidfdOpen(id.PID, 0)
			if err != nil {
				return fmt.Errorf("enter container %s: %w", c.id, err)
			}
			defer unix.Close(target)
			// A thread that shares its root and working directory with others
			// may not change its mount namespace.
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("enter container %s: %w", c.id, err)
			}
			const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
			if err := unix.Setns(target, all); err != nil {
				return fmt.Errorf("enter container %s: %w", c.id, err)
			}
			return f()
		}()
	}()
	return <-done
}

// command prepares a command that will run inside the container. The path is
// found when it is started, inside.
func (c *container) command(args []string) *exec.Cmd {
	cmd := &exec.Cmd{Args: args, Env: c.env(), Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if dir := c.config.GetWorkingDir(); dir != "" {
		cmd.Dir = dir
	}
	security := c.config.GetLinux().GetSecurityContext()
	if uid, gid := security.GetRunAsUser().GetValue(), security.GetRunAsGroup().GetValue(); uid != 0 || gid != 0 {
		groups := []uint32{}
		for _, group := range security.GetSupplementalGroups() {
			groups = append(groups, uint32(group))
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: groups}
	}
	return cmd
}

// start starts a prepared command inside the container.
func (c *container) startInside(cmd *exec.Cmd) error {
	return c.enter(func() error {
		name := cmd.Args[0]
		if strings.Contains(name, "/") {
			cmd.Path = name
		} else {
			for _, dir := range []string{"/bin", "/usr/bin", "/usr/local/bin"} {
				if info, err := os.Stat(dir + "/" + name); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
					cmd.Path = dir + "/" + name
					break
				}
			}
		}
		if cmd.Path == "" {
			return fmt.Errorf("exec: %q: executable file not found in the container", name)
		}
		return cmd.Start()
	})
}

// ExecSync runs a command to its end and returns what it printed.
func (s *Server) ExecSync(ctx context.Context, r *runtime.ExecSyncRequest) (*runtime.ExecSyncResponse, error) {
	s.mu.Lock()
	c, err := find(s.containers, "container", r.GetContainerId())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(r.GetCmd()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no command")
	}
	if r.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.GetTimeout())*time.Second)
		defer cancel()
	}
	var stdout, stderr limited
	cmd := c.command(r.GetCmd())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	code, err := c.run(ctx, cmd)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out", strings.Join(r.GetCmd(), " "))
	case err != nil:
		return nil, status.Error(codes.Unknown, err.Error())
	}
	return &runtime.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: code}, nil
}

// run runs a prepared command inside the container and returns its exit code.
func (c *container) run(ctx context.Context, cmd *exec.Cmd) (int32, error) {
	// A background child of the command may hold its output open for ever.
	cmd.WaitDelay = 2 * time.Second
	if err := c.startInside(cmd); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ctx.Done():
		// The whole session, so that a shell's children go too.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended //nolint:errcheck // it was killed
		return 0, ctx.Err()
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			return 0, err
		}
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int32(ws.Signal()), nil
	}
	return int32(cmd.ProcessState.ExitCode()), nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxExecOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// Exec answers with the address at which to stream a command.
func (s *Server) Exec(_ context.Context, r *runtime.ExecRequest) (*runtime.ExecResponse, error) {
	return s.streams.GetExec(r)
}

// Attach answers with the address at which to stream a container's output.
func (s *Server) Attach(_ context.Context, r *runtime.AttachRequest) (*runtime.AttachResponse, error) {
	return s.streams.GetAttach(r)
}

// PortForward answers with the address at which to stream to a pod's port.
func (s *Server) PortForward(_ context.Context, r *runtime.PortForwardRequest) (*runtime.PortForwardResponse, error) {
	return s.streams.GetPortForward(r)
}

func serveStreams(listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	return server.Serve(listener)
}

// streamRuntime carries the streams of exec, attach and port-forward.
type streamRuntime struct{ *Server }

// Exec runs a command with the client's streams, on a terminal if it wants one.
func (s streamRuntime) Exec(ctx context.Context, id string, args []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	s.mu.Lock()
	c, err := find(s.containers, "container", id)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	cmd := c.command(args)
	if tty {
		terminal, slave, err := pty.Open()
		if err != nil {
			return err
		}
		defer terminal.Close()
		defer slave.Close()
		cmd.Env = append(cmd.Env, "TERM=xterm")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true // descriptor 0 becomes the session's terminal
		go func() {
			for size := range resize {
				_ = pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
			}
		}()
		if in != nil {
			go func() { _, _ = io.Copy(terminal, in) }()
		}
		copied := make(chan struct{})
		go func() { defer close(copied); _, _ = io.Copy(out, terminal) }()
		code, err := c.run(ctx, cmd)
		slave.Close()
		<-copied // the terminal's end follows the last process that holds it
		return exitError(code, err)
	}
	if in != nil {
		// A pipe of our own: with cmd.Stdin set to a reader, Wait would wait for
		// the client to close its end.
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		defer read.Close()
		cmd.Stdin = read
		go func() { _, _ = io.Copy(write, in); write.Close() }()
	}
	if out != nil {
		cmd.Stdout = out
	}
	if errs != nil {
		cmd.Stderr = errs
	}
	return exitError(c.run(ctx, cmd))
}

func exitError(code int32, err error) error {
	if err != nil || code == 0 {
		return err
	}
	return utilexec.CodeExitError{Code: int(code), Err: fmt.Errorf("command terminated with exit code %d", code)}
}

// Attach shows what a container prints from now on, and feeds its input.
func (s streamRuntime) Attach(ctx context.Context, id string, in io.Reader, out, errs io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	s.mu.Lock()
	c, err := find(s.containers, "container", id)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if c.state() != runtime.ContainerState_CONTAINER_RUNNING {
		return status.Errorf(codes.FailedPrecondition, "container %s does not run", id)
	}
	go func() {
		for range resize { // no terminal to tell
		}
	}()
	attached := &tee{}
	if out != nil {
		attached.out = out
	}
	if errs != nil {
		attached.err = errs
	}
	c.log.attach(attached)
	defer c.log.detach(attached)
	if in != nil && c.stdin != nil {
		go func() {
			_, _ = io.Copy(c.stdin, in)
			if c.config.GetStdinOnce() {
				c.stdin.Close()
			}
		}()
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	return nil
}

// PortForward connects a stream to a port of the pod.
func (s streamRuntime) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	s.mu.Lock()
	b, err := find(s.sandboxes, "sandbox", id)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	var conn *net.TCPConn
	err = network.In(b.namespace, func() error {
		// Without the Dialer's parallel attempts, which would run on other
		// threads and so in another namespace.
		var dialError error
		conn, dialError = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
		return dialError
	})
	if err != nil {
		return fmt.Errorf("forward to port %d: %w", port, err)
	}
	defer conn.Close()
	defer stream.Close()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(conn, stream); _ = conn.CloseWrite(); done <- struct{}{} }()
	go func() { _, _ = io.Copy(stream, conn); done <- struct{}{} }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}
