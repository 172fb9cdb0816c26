package main

import (
	"fmt"
	"os"
	"strings"
)

// How a terminal is told to print what follows.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

// screen is where everything is printed, in colours if it is a terminal.
type screen struct {
	*os.File
	colours bool
}

func newScreen(file *os.File) *screen {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{file, terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s *screen) print(style, text string) {
	if s.colours && style != "" {
		text = style + text + plain
	}
	fmt.Fprintln(s, text)
}

// heading starts a part of its own.
func (s *screen) heading(text string) {
	fmt.Fprintln(s)
	s.print(bold, text)
	s.print(dim, strings.Repeat("─", len([]rune(text))))
}

// say explains.
func (s *screen) say(text string) { s.print("", text) }

// command shows what a person would type.
func (s *screen) command(text string) {
	fmt.Fprintln(s)
	s.print(bold, "$ "+text)
}

func (s *screen) success(text string) { s.print(green, "✔ "+text) }

func (s *screen) failure(err error) {
	fmt.Fprintln(s)
	s.print(red, "✘ "+err.Error())
}
