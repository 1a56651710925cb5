package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/DeRuina/timberjack"
	"golang.org/x/term"

	"gatehouse/cmd/gatehouse/config"
)

// The log file is begun anew at 100 MB, and 5 older ones are kept.
const (
	logFileMB   = 100
	logFileKeep = 5
)

// A logSink is the log and the file beside stderr, if there is one.
type logSink struct {
	*slog.Logger
	file *timberjack.Logger
}

// openLog returns the log as c describes it, on stderr and in its file.
func openLog(c config.Log, stderr io.Writer) *logSink {
	var level slog.Level
	// The setting takes only names that slog knows.
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level}

	var handler slog.Handler = slog.NewJSONHandler(plainJSON{stderr}, options)
	if c.Format == "text" || c.Format == "auto" && terminal(stderr) {
		handler = slog.NewTextHandler(stderr, options)
	}
	if c.File == "" {
		return &logSink{Logger: slog.New(handler)}
	}
	file := &timberjack.Logger{Filename: c.File, MaxSize: logFileMB, MaxBackups: logFileKeep, FileMode: 0o600}
	return &logSink{slog.New(slog.NewMultiHandler(handler, slog.NewJSONHandler(plainJSON{file}, options))), file}
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// reopen lets go of the file, so that the next line begins the one that is at
// its path by then.
func (l *logSink) reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
