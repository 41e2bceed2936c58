package host

import (
	"time"

	"github.com/interlock-run/interlock/host/sandbox"
)

// sandboxPrefix begins the names of the settings that limit policy modules.
const sandboxPrefix = "INTERLOCK_SANDBOX_"

// sandboxLimit is one limit of [sandbox.Limits]: what is set when its setting is
// not is in the sandbox's documentation.
type sandboxLimit struct {
	name  string // after sandboxPrefix
	about string
	field any // *int, *uint32, *uint64 or *time.Duration, in the Limits that the list was made for
	most  int // of a number
}

func sandboxLimits(l *sandbox.Limits) []sandboxLimit {
	const many = 1 << 30
	c := &l.Caps
	return []sandboxLimit{
		{"FUEL", "work of a call, in units of about one instruction, unless its entry says other", &l.Fuel, many},
		{"STACK_BYTES", "stack of a call's nested calls, unless its entry says other", &l.StackBytes, 16 << 20},
		{"DEADLINE", "wall clock of a call, in seconds or as 1s", &l.Deadline, 0},
		{"CONCURRENCY", "calls of one module at the same time", &l.Concurrency, 1024},
		{"OUTPUT_BYTES", "bytes of a verdict or manifest", &l.OutputBytes, 16 << 20},
		{"LOG_BYTES", "bytes that a call may print, the rest is dropped", &l.LogBytes, 1 << 20},
		{"MEMORY_PAGES", "memory of an instance, in pages of 64 KiB", &l.MemoryPages, 16 << 10},
		{"INIT_FUEL", "work of a module's _initialize", &l.InitFuel, many},
		{"LOAD_TIME", "time to compile a module, and of its _initialize", &l.LoadTime, 0},
		{"MODULE_BYTES", "bytes of a module", &l.ModuleBytes, 256 << 20},
		{"TYPES", "function types of a module", &c.Types, many},
		{"ARITY", "parameters of a function type, and its results", &c.Arity, 1000},
		{"IMPORTS", "imports of a module", &c.Imports, many},
		{"FUNCTIONS", "functions of a module", &c.Functions, many},
		{"BODY_BYTES", "bytes of a function's code", &c.BodyBytes, many},
		{"LOCALS", "locals of a function", &c.Locals, 50_000},
		{"NESTING", "blocks within blocks", &c.Nesting, 100_000},
		{"BRANCH_TABLE", "targets of a br_table", &c.BranchTable, many},
		{"BULK_OPS", "bulk memory and table instructions of a function", &c.BulkOps, many},
		{"JOIN_WORK", "variables times blocks, over all functions: what compile time follows", &c.JoinWork, many},
		{"GLOBALS", "globals of a module", &c.Globals, many},
		{"TABLES", "tables of a module", &c.Tables, 1000},
		{"TABLE_ENTRIES", "entries of a table, at the start and ever", &c.TableEntries, 10_000_000},
		{"ELEMENTS", "element segments, and the entries of all", &c.Elements, many},
		{"DATA", "data segments", &c.Data, many},
		{"EXPORTS", "exports of a module", &c.Exports, many},
		{"NAME_BYTES", "bytes of an import's or export's name", &c.NameBytes, many},
		{"CUSTOMS", "custom sections", &c.Customs, many},
	}
}

// sandboxSettings are the settings that the limits can be set with.
func sandboxSettings() []setting {
	var all []setting
	for i, l := range sandboxLimits(&sandbox.Limits{}) {
		set := func(c *Config, v string) error {
			mine := sandboxLimits(&c.Sandbox)[i]
			if d, ok := mine.field.(*time.Duration); ok {
				return duration(func(*Config) *time.Duration { return d })(c, v)
			}
			var n int
			if err := number(func(*Config) *int { return &n }, 1, mine.most)(c, v); err != nil {
				return err
			}
			mine.write(n)
			return nil
		}
		all = append(all, setting{[]string{sandboxPrefix + l.name}, l.about, set})
	}
	return all
}

func (l sandboxLimit) write(n int) {
	switch f := l.field.(type) {
	case *int:
		*f = n
	case *uint32:
		*f = uint32(n)
	case *uint64:
		*f = uint64(n)
	}
}
