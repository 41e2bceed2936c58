#include "textflag.h"

// Why by hand: the compiler turns every jump of a function into one through a
// table at its head, which costs as much as ten instructions. Here loops are
// WebAssembly's own.

#define POS R0    // address of the next byte of the text
#define END R1    // address after the text
#define NODE R2   // address of the next node to write
#define OPEN R3   // where the innermost open node ends, from NODES; 0: none is
#define TEXT_ R4  // address of the text
#define NODES R5  // address of the nodes
#define LIMIT R6  // address after the room for nodes
#define DEPTH R7  // how many more may be opened
#define C R8      // the byte in hand
#define W R9      // eight of them
#define START R10 // address where the value in hand starts
#define WHY R11
#define STATE R12

// The offsets in scanState and node, the kinds, the states and the answers are
// those of scan_wasm.go and parse.go.
#define KIND_NULL 1
#define KIND_BOOL 2
#define KIND_NUMBER 3
#define KIND_TEXT 4
#define KIND_ARRAY 5
#define KIND_OBJECT 6

#define AT_VALUE 0
#define AFTER_VALUE 1
#define AFTER_KEY 2
#define AT_KEY 3
#define AT_CLOSE 4

#define DONE 0
#define ODD_VALUE 1
#define ODD_KEY 2
#define ODD_NUMBER 3
#define GIVE_UP 4

#define MOVE(reg, by) \
	Get reg; I64Const $by; I64Add; Set reg

#define LEAVE(why) \
	I64Const $why; Set WHY; Br exit

// BYTE takes the byte at POS into C.
#define BYTE \
	Get POS; Get END; I64GeU; If; LEAVE(GIVE_UP); End; \
	Get POS; I32WrapI64; I64Load8U $0; Set C

// VISIBLE moves POS to the next byte that is no space, and takes it into C.
#define VISIBLE(again) \
again: \
	Loop; \
		BYTE; \
		Get C; I64Const $0x20; I64LeU; If; \
			MOVE(POS, 1); \
			Get C; I64Const $0x20; I64Eq; BrIf again; \
			Get C; I64Const $0x0a; I64Eq; BrIf again; \
			Get C; I64Const $0x0d; I64Eq; BrIf again; \
			Get C; I64Const $0x09; I64Eq; BrIf again; \
			LEAVE(GIVE_UP); \
		End; \
	End

// NOTE writes the node of what stands from START to POS. The one after it comes
// next. A kind takes the whole of its word: not escaped.
#define NOTE(kind) \
	Get NODE; I32WrapI64; Get START; Get TEXT_; I64Sub; I32WrapI64; I32Store $0; \
	Get NODE; I32WrapI64; Get POS; Get TEXT_; I64Sub; I32WrapI64; I32Store $4; \
	Get NODE; I32WrapI64; Get NODE; Get NODES; I64Sub; I64Const $4; I64ShrU; I64Const $1; I64Add; I32WrapI64; I32Store $8; \
	Get NODE; I32WrapI64; I32Const $kind; I32Store $12; \
	MOVE(NODE, 16)

// ODD takes the eight bytes at POS into W and leaves, of each that does not stand
// for itself in a string (a quote, a backslash, a control character, a part of a
// longer rune), the top bit. A borrow from a lower byte can only make a byte above
// an odd one look odd.
#define ODD \
	Get POS; I32WrapI64; I64Load $0; Tee W; \
	I64Const $0x2020202020202020; I64Sub; \
	Get W; I64Const $0x2222222222222222; I64Xor; I64Const $0x0101010101010101; I64Sub; I64Or; \
	Get W; I64Const $0x5c5c5c5c5c5c5c5c; I64Xor; I64Const $0x0101010101010101; I64Sub; I64Or; \
	Get W; I64Or; \
	I64Const $0x8080808080808080; I64And; Tee W

// PLAIN takes the byte at POS into C, and leaves if it does not stand for itself.
#define PLAIN(leave) \
	Get POS; I32WrapI64; I64Load8U $0; Tee C; \
	I64Const $0x20; I64Sub; I64Const $0x60; I64GeU; BrIf leave; \
	Get C; I64Const $0x22; I64Eq; BrIf leave; \
	Get C; I64Const $0x5c; I64Eq; BrIf leave

// STRING reads the string whose quote is at POS, or leaves with why. The last few
// bytes of a text are left to Go.
#define STRING(again, why) \
	Get POS; I64Const $1; I64Add; Tee START; Set POS; \
again: \
	Loop; \
		Get POS; I64Const $8; I64Add; Get END; I64GtU; If; \
			Get START; I64Const $1; I64Sub; Set POS; LEAVE(why); \
		End; \
		ODD; \
		I64Eqz; If; MOVE(POS, 8); Br again; End; \
	End; \
	Get POS; Get W; I64Ctz; I64Const $3; I64ShrU; I64Add; Tee POS; \
	I32WrapI64; I64Load8U $0; I64Const $0x22; I64Ne; If; \
		Get START; I64Const $1; I64Sub; Set POS; LEAVE(why); \
	End; \
	NOTE(KIND_TEXT); \
	MOVE(POS, 1)

// WORD reads a word of size bytes, of which the first four are those of first.
#define WORD(size, first, kind) \
	Get POS; Tee START; I64Const $size; I64Add; Get END; I64GtU; If; LEAVE(GIVE_UP); End; \
	Get POS; I32WrapI64; I64Load32U $0; I64Const $first; I64Ne; If; LEAVE(GIVE_UP); End; \
	MOVE(POS, size); \
	NOTE(kind)

// func scan(s *scanState, state int) (why int)
TEXT ·scan(SB), NOSPLIT, $0-24
	I64Load s+0(FP)
	Set W
	Get W; I32WrapI64; I64Load $0; Tee TEXT_
	Get W; I32WrapI64; I64Load $16; I64Add; Set POS
	Get TEXT_; Get W; I32WrapI64; I64Load $24; I64Add; Set END
	Get W; I32WrapI64; I64Load $8; Tee NODES
	Get W; I32WrapI64; I64Load $32; I64Const $4; I64Shl; I64Add; Set NODE
	Get NODES; Get W; I32WrapI64; I64Load $40; I64Const $4; I64Shl; I64Add; Set LIMIT
	Get W; I32WrapI64; I64Load $56; Set DEPTH
	Get W; I32WrapI64; I64Load $48; Set OPEN
	I64Load state+8(FP)
	Set STATE

exit:
	Block
main:
		Loop
value:
			Block
				Get STATE
				I64Const $AT_VALUE
				I64Ne
				BrIf value

				VISIBLE(space1)
				Get NODE
				Get LIMIT
				I64GeU
				If
					LEAVE(GIVE_UP)
				End
				I64Const $AFTER_VALUE
				Set STATE

				Get C
				I64Const $0x22 // '"'
				I64Eq
				If
					STRING(more1, ODD_VALUE)
					Br value
				End

				// '{' and '[' are two less than their ends, and equal but for 0x20: shifted
				// by five they are three less than their kinds.
				Get C
				I64Const $0x20
				I64Or
				I64Const $0x7b
				I64Eq
				If
					Get DEPTH
					I64Eqz
					If
						LEAVE(GIVE_UP)
					End
					MOVE(DEPTH, -1)
					// Until it is closed, the place for what comes next keeps which node
					// was open before.
					Get NODE; I32WrapI64; Get POS; Get TEXT_; I64Sub; I32WrapI64; I32Store $0
					Get NODE; I32WrapI64; Get OPEN; I32WrapI64; I32Store $8
					Get NODE; I32WrapI64; Get C; I64Const $5; I64ShrU; I64Const $3; I64Add; I32WrapI64; I32Store $12
					MOVE(NODE, 16)
					Get NODE; Get NODES; I64Sub; Set OPEN
					Get C
					Set W
					MOVE(POS, 1)
					VISIBLE(space2)
					Get C
					Get W
					I64Const $2
					I64Add
					I64Eq
					If
						I64Const $AT_CLOSE
						Set STATE
						Br value
					End
					I64Const $AT_VALUE
					I64Const $AT_KEY
					Get W
					I64Const $0x5b
					I64Eq
					Select
					Tee STATE
					I64Eqz
					BrIf main
					Br value
				End

				Get C
				I64Const $0x6e // 'n'
				I64Eq
				If
					WORD(4, 0x6c6c756e, KIND_NULL)
					Br value
				End
				Get C
				I64Const $0x74 // 't'
				I64Eq
				If
					WORD(4, 0x65757274, KIND_BOOL)
					Br value
				End
				Get C
				I64Const $0x66 // 'f'
				I64Eq
				If
					WORD(5, 0x736c6166, KIND_BOOL)
					Get START
					I32WrapI64
					I64Load8U $4
					I64Const $0x65 // 'e'
					I64Ne
					If
						LEAVE(GIVE_UP)
					End
					Br value
				End

				// A whole number. What goes on after it is left to Go.
				Get POS
				Set START
				Get C
				I64Const $0x2d // '-'
				I64Eq
				If
					MOVE(POS, 1)
					BYTE
				End
				Get C
				I64Const $0x30
				I64Sub
				Tee W
				I64Const $9
				I64GtU
				If
					LEAVE(GIVE_UP)
				End
digits:
				Loop
					MOVE(POS, 1)
					BYTE
					Get C
					I64Const $0x30
					I64Sub
					I64Const $9
					I64LeU
					If
						Get W
						I64Eqz // a zero in front
						If
							LEAVE(GIVE_UP)
						End
						Br digits
					End
				End
				Get C
				I64Const $0x2e // '.'
				I64Eq
				Get C
				I64Const $0x20
				I64Or
				I64Const $0x65 // 'e'
				I64Eq
				I32Or
				If
					Get START
					Set POS
					LEAVE(ODD_NUMBER)
				End
				NOTE(KIND_NUMBER)
			End

close:
			Block
				Get STATE
				I64Const $AT_CLOSE
				I64Ne
				If
					Get STATE
					I64Const $AFTER_VALUE
					I64Ne
					BrIf close
					Get OPEN
					I64Eqz
					If
						LEAVE(DONE)
					End
					VISIBLE(space3)
					Get NODES; Get OPEN; I64Add; I64Const $16; I64Sub; I32WrapI64; I64Load8U $12; Set W
					Get C
					I64Const $0x2c // ','
					I64Eq
					If
						MOVE(POS, 1)
						Get W
						I64Const $KIND_ARRAY
						I64Eq
						If
							I64Const $AT_VALUE
							Set STATE
							Br main
						End
						VISIBLE(space4)
						I64Const $AT_KEY
						Set STATE
						Br close
					End
					Get C
					I64Const $0x7d // '}'
					I64Const $0x5d // ']'
					Get W
					I64Const $KIND_OBJECT
					I64Eq
					Select
					I64Ne
					If
						LEAVE(GIVE_UP)
					End
				End
				MOVE(POS, 1)
				MOVE(DEPTH, 1)
				Get NODES; Get OPEN; I64Add; I64Const $16; I64Sub; Tee START
				I32WrapI64; I64Load32U $8; Set W
				Get START; I32WrapI64; Get POS; Get TEXT_; I64Sub; I32WrapI64; I32Store $4
				Get START; I32WrapI64; Get NODE; Get NODES; I64Sub; I64Const $4; I64ShrU; I32WrapI64; I32Store $8
				Get W
				Set OPEN
				I64Const $AFTER_VALUE
				Set STATE
				Br main
			End

			Get STATE
			I64Const $AT_KEY
			I64Eq
			If
				Get C
				I64Const $0x22 // '"'
				I64Ne
				If
					LEAVE(GIVE_UP)
				End
				Get NODE
				Get LIMIT
				I64GeU
				If
					LEAVE(GIVE_UP)
				End
				STRING(more2, ODD_KEY)
			End
			VISIBLE(space5)
			Get C
			I64Const $0x3a // ':'
			I64Ne
			If
				LEAVE(GIVE_UP)
			End
			MOVE(POS, 1)
			I64Const $AT_VALUE
			Set STATE
			Br main
		End
	End

	I64Load s+0(FP)
	Set W
	Get W; I32WrapI64; Get POS; Get TEXT_; I64Sub; I64Store $16
	Get W; I32WrapI64; Get NODE; Get NODES; I64Sub; I64Const $4; I64ShrU; I64Store $32
	Get W; I32WrapI64; Get DEPTH; I64Store $56
	Get W; I32WrapI64; Get OPEN; I64Store $48
	Get SP
	Get WHY
	I64Store why+16(FP)
	RET

// func skipPlain(text []byte, pos int) int
TEXT ·skipPlain(SB), NOSPLIT, $0-40
	I64Load text_base+0(FP)
	Tee TEXT_
	I64Load pos+24(FP)
	I64Add
	Set POS
	Get TEXT_
	I64Load text_len+8(FP)
	I64Add
	Set END
found:
	Block
eights:
		Loop
			Get POS
			I64Const $8
			I64Add
			Get END
			I64LeU
			If
				ODD
				I64Eqz
				If
					MOVE(POS, 8)
					Br eights
				End
				Get POS
				Get W
				I64Ctz
				I64Const $3
				I64ShrU
				I64Add
				Set POS
				Br found
			End
		End
bytes:
		Loop
			Get POS
			Get END
			I64GeU
			BrIf found
			PLAIN(found)
			MOVE(POS, 1)
			Br bytes
		End
	End
	Get SP
	Get POS
	Get TEXT_
	I64Sub
	I64Store ret+32(FP)
	RET

// The registers of pick, beside TEXT_, NODES and NODE.
#define KEY R0    // address of the key that is looked for
#define KEYS R1   // address after the last key
#define AT R3
#define LAST R6   // address after the object's nodes
#define LEFT R7
#define INTO R10  // address for the index of the member in hand

// func pick(d *Doc, object uint32, keys *string, count int, into *uint32) (found int32)
TEXT ·pick(SB), NOSPLIT, $0-44
	I64Const $0
	Set C
found:
	Block
		I64Load d+0(FP)
		Tee W
		I32WrapI64
		I64Load $0 // d.text
		Set TEXT_
		Get W
		I32WrapI64
		I64Load $24 // d.nodes
		Tee NODES
		I64Load32U object+8(FP)
		I64Const $4
		I64Shl
		I64Add
		Tee NODE
		I32WrapI64
		I64Load8U $12
		I64Const $KIND_OBJECT
		I64Ne
		BrIf found
		Get NODE
		I32WrapI64
		I64Load32U $8
		I64Const $4
		I64Shl
		Get NODES
		I64Add
		Set LAST
		MOVE(NODE, 16)
		I64Load keys+16(FP)
		Tee KEY
		I64Load count+24(FP)
		I64Const $4
		I64Shl
		I64Add
		Set KEYS
		I64Load into+32(FP)
		Set INTO
members:
		Loop
			Get NODE
			Get LAST
			I64GeU
			BrIf found
			Get NODE
			I32WrapI64
			I64Load8U $13
			I64Eqz
			If
			Else
				I64Const $-1
				Set C
				Br found
			End
other:
			Block
				Get NODE
				I32WrapI64
				I64Load32U $4
				Get NODE
				I32WrapI64
				I64Load32U $0
				Tee AT
				I64Sub
				Tee LEFT
				Get KEY
				I32WrapI64
				I64Load $8
				I64Ne
				BrIf other
				Get TEXT_
				Get AT
				I64Add
				Set AT
				Get KEY
				I32WrapI64
				I64Load $0
				Set W
same:
				Loop
					Get LEFT
					I64Const $8
					I64GeU
					If
						Get AT; I32WrapI64; I64Load $0
						Get W; I32WrapI64; I64Load $0
						I64Ne
						BrIf other
						MOVE(AT, 8)
						MOVE(W, 8)
						MOVE(LEFT, -8)
						Br same
					End
					Get LEFT
					I64Eqz
					If
						Get INTO
						I32WrapI64
						Get NODE
						Get NODES
						I64Sub
						I64Const $4
						I64ShrU
						I64Const $1
						I64Add
						I64Store32 $0
						MOVE(C, 1)
						MOVE(INTO, 4)
						MOVE(KEY, 16)
						Get KEY
						Get KEYS
						I64GeU
						BrIf found
						Br other
					End
					Get AT; I32WrapI64; I64Load8U $0
					Get W; I32WrapI64; I64Load8U $0
					I64Ne
					BrIf other
					MOVE(AT, 1)
					MOVE(W, 1)
					MOVE(LEFT, -1)
					Br same
				End
			End
			Get NODE
			I32WrapI64
			I64Load32U $24 // after the member's value
			I64Const $4
			I64Shl
			Get NODES
			I64Add
			Set NODE
			Br members
		End
	End
	Get SP
	Get C
	I64Store32 found+40(FP)
	RET

// func quote(dst []byte, s string) bool
TEXT ·quote(SB), NOSPLIT, $0-41
	I64Const $0
	Set STATE // whether it is done
odd:
	Block
		I64Load dst_len+8(FP)
		I64Load s_len+32(FP)
		I64Add
		I64Const $2
		I64Add
		I64Load dst_cap+16(FP)
		I64GtS
		BrIf odd
		I64Load dst_base+0(FP)
		I64Load dst_len+8(FP)
		I64Add
		Tee AT
		I32WrapI64
		I32Const $0x22
		I32Store8 $0
		MOVE(AT, 1)
		I64Load s_base+24(FP)
		Tee POS
		I64Load s_len+32(FP)
		I64Add
		Set END
eights:
		Loop
			Get POS
			I64Const $8
			I64Add
			Get END
			I64LeU
			If
				ODD
				I64Eqz
				I32Eqz
				BrIf odd
				Get AT; I32WrapI64
				Get POS; I32WrapI64; I64Load $0
				I64Store $0
				MOVE(AT, 8)
				MOVE(POS, 8)
				Br eights
			End
		End
bytes:
		Loop
			Get POS
			Get END
			I64LtU
			If
				PLAIN(odd)
				Get AT
				I32WrapI64
				Get C
				I64Store8 $0
				MOVE(AT, 1)
				MOVE(POS, 1)
				Br bytes
			End
		End
		Get AT
		I32WrapI64
		I32Const $0x22
		I32Store8 $0
		I64Const $1
		Set STATE
	End
	Get SP
	Get STATE
	I64Store8 ret+40(FP)
	RET
