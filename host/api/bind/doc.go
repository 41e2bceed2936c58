// Package bind decodes JSON bodies into structs the way the reference's
// validation does: all refused fields are reported at once, each with its path,
// a message, pydantic's error type and the refused value.
//
// A field is named by its json tag. The bind tag adds what the Go type cannot
// say, comma-separated:
//
//	required     absent is an error
//	null         null is allowed and leaves the zero value (pointers always allow it)
//	ge=0 le=50   bounds of a number, whole ones
//	enum=A|B     the values of a string
//	literal=A|B  the same, reported as pydantic's Literal
//	pattern=name a string that holds none of / % & > <
//	max_length=9 the most characters of a string
//	object       a json.RawMessage that must be a JSON object
//	set          a list without doubles, reported as a set
//	closed       the struct and all below it refuse unknown fields and allow null for lists
//
// On a blank field, `_ struct{}`, the tag speaks of the struct: "forbid" refuses
// unknown fields, "embed" is a body made of separate parameters, for which null
// counts as absent and an empty body is {}.
//
// Conversions are pydantic's lax ones: "3" and 3.0 and true are integers, 1 and
// "yes" are booleans, a number is a time; a string is only ever a string.
//
// A field that is absent keeps what it had, so defaults are set beforehand: by a
// type's SetDefaults, which runs on every struct before it is decoded.
package bind
