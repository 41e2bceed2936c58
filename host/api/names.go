package api

import "math/rand/v2"

// randomName returns a name for a run that was given none: an adjective and an
// animal.
func randomName() string {
	return adjectives[rand.IntN(len(adjectives))] + "-" + animals[rand.IntN(len(animals))]
}

var adjectives = [...]string{
	"agile", "amber", "ample", "ardent", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk", "calm",
	"candid", "careful", "cheery", "civil", "clever", "cobalt", "copper", "coral", "cosmic", "crisp", "curious", "daring",
	"deft", "eager", "early", "earnest", "elegant", "fabled", "fair", "fleet", "fond", "frosty", "gentle", "gilded",
	"glad", "golden", "graceful", "hardy", "hazel", "honest", "humble", "indigo", "ivory", "jolly", "keen", "kind",
	"lively", "loyal", "lucid", "lunar", "mellow", "merry", "mighty", "mild", "modest", "neat", "nimble", "noble",
	"olive", "patient", "plucky", "polite", "proud", "quick", "quiet", "rapid", "ready", "regal", "robust", "rustic",
	"scarlet", "serene", "sharp", "silent", "silver", "sincere", "smooth", "solar", "solid", "steady", "stellar", "sturdy",
	"subtle", "sunny", "swift", "tender", "tidy", "tranquil", "trusty", "upbeat", "valiant", "velvet", "vivid", "warm",
	"wise", "witty", "worthy", "zesty",
}

var animals = [...]string{
	"albatross", "alpaca", "antelope", "badger", "bear", "bison", "bobcat", "buffalo", "camel", "caribou", "cheetah", "chinchilla",
	"condor", "cougar", "coyote", "crane", "cricket", "crow", "curlew", "deer", "dingo", "dolphin", "donkey", "dragonfly",
	"eagle", "egret", "elk", "falcon", "ferret", "finch", "firefly", "flamingo", "fox", "gazelle", "gecko", "gibbon",
	"giraffe", "goose", "grouse", "hamster", "hare", "hawk", "hedgehog", "heron", "hornet", "horse", "ibex", "ibis",
	"iguana", "impala", "jackal", "jaguar", "jay", "kestrel", "kiwi", "koala", "lark", "lemur", "leopard", "lion",
	"lizard", "llama", "lynx", "macaw", "magpie", "mallard", "manatee", "marmot", "marten", "meerkat", "mole", "moose",
	"narwhal", "newt", "ocelot", "octopus", "oriole", "osprey", "otter", "owl", "panda", "panther", "pelican", "penguin",
	"petrel", "pheasant", "plover", "puffin", "puma", "quail", "raven", "robin", "salmon", "seal", "sparrow", "stork",
	"swan", "tapir", "tern", "walrus",
}
