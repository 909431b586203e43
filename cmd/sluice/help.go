package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// flagGroup is a titled part of a command's help.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// flagGroups are the flags of a command that has too many for one list.
type flagGroups []flagGroup

// in returns the flags under a title, which appears in the help where it was first asked for.
func (g *flagGroups) in(title string) *pflag.FlagSet {
	for _, group := range *g {
		if group.title == title {
			return group.flags
		}
	}
	group := flagGroup{title, pflag.NewFlagSet(title, pflag.ContinueOnError)}
	group.flags.SortFlags = false
	*g = append(*g, group)
	return group.flags
}

// addTo gives the command all flags, and a help that lists them by group.
func (g flagGroups) addTo(cmd *cobra.Command) {
	for _, group := range g {
		cmd.Flags().AddFlagSet(group.flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
		if cmd.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		for _, group := range g {
			if usages := group.flags.FlagUsagesWrapped(columns()); usages != "" {
				fmt.Fprintf(&b, "\n%s:\n%s", group.title, usages)
			}
		}
		_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
		return err
	})
}

// columns is how wide the terminal is, or a page where there is none.
func columns() int {
	const page = 120
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		return min(width, page)
	}
	return page
}
