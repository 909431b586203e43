package cri

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func noon() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC) }

func TestLogFormatIsTheKubelets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pod", "container", "0.log")
	log, err := openLog(path, noon)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxLine+10)
	if err := log.pump("stdout", strings.NewReader("hello\n\n"+long+"\n")); err != nil {
		t.Fatal(err)
	}
	if err := log.pump("stderr", strings.NewReader("no newline")); err != nil {
		t.Fatal(err)
	}
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := "2026-11-21T12:00:00.000000005Z "
	want := at + "stdout F hello\n" +
		at + "stdout F \n" +
		at + "stdout P " + long[:maxLine] + "\n" +
		at + "stdout F " + long[maxLine:] + "\n" +
		at + "stderr P no newline\n"
	if string(got) != want {
		t.Errorf("log is\n%s\nwant\n%s", got, want)
	}
}

func TestLogReopensAfterTheKubeletMovedIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	log, err := openLog(path, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.pump("stdout", strings.NewReader("one\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := log.reopen(); err != nil {
		t.Fatal(err)
	}
	if err := log.pump("stdout", strings.NewReader("two\n")); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(path + ".1")
	now, _ := os.ReadFile(path)
	if !strings.HasSuffix(string(old), "F one\n") || !strings.HasSuffix(string(now), "F two\n") || strings.Contains(string(now), "one") {
		t.Errorf("old file %q, new file %q", old, now)
	}
}

func TestAttachedSeeTheBytesAsWritten(t *testing.T) {
	log, err := openLog(filepath.Join(t.TempDir(), "0.log"), noon)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	attached := &tee{out: &out, err: &errs}
	log.attach(attached)
	_ = log.pump("stdout", strings.NewReader("to out\n"))
	_ = log.pump("stderr", strings.NewReader("to err\n"))
	log.detach(attached)
	_ = log.pump("stdout", strings.NewReader("later\n"))
	if out.String() != "to out\n" || errs.String() != "to err\n" {
		t.Errorf("out %q, err %q", out.String(), errs.String())
	}
}
