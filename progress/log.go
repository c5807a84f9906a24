package progress

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Log makes a logger on os.Stderr, for [clusterless.Logger]: of one level ("debug", "info", "warn", "error"; "" is
// silence), as text or as JSON. The variable CLUSTERLESS_LOG, which is a level, or a level and ",json" or ",text",
// overrides both.
func Log(level string, json bool) *slog.Logger { return newLog(os.Stderr, level, json) }

// Log is the function of the same name for programs that have a display on os.Stderr: its lines do not hurt the bars.
func (d *Display) Log(level string, json bool) *slog.Logger {
	return newLog(d.Above(os.Stderr), level, json)
}

func newLog(w io.Writer, level string, json bool) *slog.Logger {
	if env := os.Getenv("CLUSTERLESS_LOG"); env != "" {
		var form string
		level, form, _ = strings.Cut(env, ",")
		switch form {
		case "":
		case "json":
			json = true
		case "text":
			json = false
		default:
			fmt.Fprintf(w, "progress: CLUSTERLESS_LOG=%s: want a level, or a level and \",json\" or \",text\"\n", env)
		}
	}
	var l slog.Level
	switch strings.ToLower(level) {
	case "", "none":
		return slog.New(slog.DiscardHandler)
	case "debug":
		l = slog.LevelDebug
	case "info":
		l = slog.LevelInfo
	case "warn":
		l = slog.LevelWarn
	case "error":
		l = slog.LevelError
	default:
		fmt.Fprintf(w, "progress: log level %q: want debug, info, warn, error or none\n", level)
		l = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: l}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
