package attach

// chores are what may wait until a delegate works: this process has nothing to do then.
type chores []func()

func (c *chores) add(chore func()) { *c = append(*c, chore) }

// do carries them out, each once.
func (c *chores) do() {
	waiting := *c
	*c = nil
	for _, chore := range waiting {
		chore()
	}
}
