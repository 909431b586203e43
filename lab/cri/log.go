package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine is where a line is split into parts, as other runtimes do.
const maxLine = 16 << 10

// logFile is a container's log in the format that the kubelet reads: time,
// stream, F for a whole line or P for a part, text.
type logFile struct {
	mu   sync.Mutex
	path string
	file *os.File
	now  func() time.Time
	// tees are those attached to the container; they see the bytes as written.
	tees map[*tee]bool
}

// tee receives a copy of a container's output.
type tee struct{ out, err io.Writer }

func openLog(path string, now func() time.Time) (*logFile, error) {
	l := &logFile{path: path, now: now, tees: map[*tee]bool{}}
	return l, l.reopen()
}

// reopen starts a new file at the same path, after the kubelet moved the old
// one away.
func (l *logFile) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// pump copies a stream into the log until its end.
func (l *logFile) pump(stream string, from io.Reader) error {
	in := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if writeErr := l.write(stream, line); writeErr != nil {
				return writeErr
			}
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed):
			return nil
		default:
			return err
		}
	}
}

func (l *logFile) write(stream string, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.tees {
		to := t.out
		if stream == "stderr" {
			to = t.err
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(line); err != nil {
			delete(l.tees, t) // it hung up; the log goes on
		}
	}
	tag, text := "P", line
	if line[len(line)-1] == '\n' {
		tag, text = "F", line[:len(line)-1]
	}
	_, err := fmt.Fprintf(l.file, "%s %s %s %s\n", l.now().UTC().Format(time.RFC3339Nano), stream, tag, text)
	return err
}

func (l *logFile) attach(t *tee) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tees[t] = true
}

func (l *logFile) detach(t *tee) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tees, t)
}
