package explain

import "strings"

// Mark says at a glance how it stands with what a node says.
type Mark string

// The marks.
const (
	None Mark = ""
	Good Mark = "✓"
	Bad  Mark = "✗"
	Look Mark = "!"
)

// Node is a fact with the facts that belong to it.
type Node struct {
	Mark  Mark   `json:"mark,omitempty"`
	Text  string `json:"text"`
	Below []Node `json:"below,omitempty"`
}

// add puts a fact below, and returns it.
func (n *Node) add(mark Mark, text string) *Node {
	n.Below = append(n.Below, Node{Mark: mark, Text: text})
	return &n.Below[len(n.Below)-1]
}

// String draws the facts as a tree.
func (n Node) String() string {
	var b strings.Builder
	b.WriteString(n.line() + "\n")
	n.draw(&b, "")
	return b.String()
}

func (n Node) line() string {
	if n.Mark == None {
		return n.Text
	}
	return string(n.Mark) + " " + n.Text
}

func (n Node) draw(b *strings.Builder, indent string) {
	for i, below := range n.Below {
		branch, further := "├─ ", "│  "
		if i == len(n.Below)-1 {
			branch, further = "└─ ", "   "
		}
		b.WriteString(indent + branch + below.line() + "\n")
		below.draw(b, indent+further)
	}
}
