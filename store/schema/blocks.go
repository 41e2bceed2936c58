package schema

func blocks() []Table {
	return []Table{
		{
			Name: "block_document",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "data", Kind: JSONB, Default: literal(`'{}'`)},
				{Name: "block_schema_id", Kind: UUID},
				{Name: "block_type_id", Kind: UUID},
				{Name: "is_anonymous", Kind: Boolean, Default: literal(`'0'`)},
				{Name: "block_type_name", Kind: String, Null: true},
			},
			References: []Reference{
				{Name: "fk_block__block_schema_id__block_schema", Column: "block_schema_id", Table: "block_schema", OnDelete: "CASCADE"},
				{Column: "block_type_id", Table: "block_type", OnDelete: "CASCADE"},
			},
			Indexes: []Index{
				{Name: "ix_block_document__block_type_name__name", On: `block_type_name, name`},
				{Name: "ix_block_document__is_anonymous", On: `is_anonymous`},
				{Name: "ix_block_document__name", On: `name`},
				{Name: "ix_block_document__updated", On: `updated`},
				{Name: "ix_block_document_name_case_insensitive", SQLite: `name COLLATE NOCASE`},
				{Name: "trgm_ix_block_document_name", Postgres: `name gin_trgm_ops`, Using: "gin"},
				{Name: "uq_block__type_id_name", Unique: true, On: `block_type_id, name`},
			},
		},
		{
			Name: "block_document_reference",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "parent_block_document_id", Kind: UUID},
				{Name: "reference_block_document_id", Kind: UUID},
			},
			References: []Reference{
				{Column: "parent_block_document_id", Table: "block_document", OnDelete: "CASCADE"},
				{Column: "reference_block_document_id", Table: "block_document", OnDelete: "CASCADE"},
			},
			Checks: []Check{{"no_self_reference", "parent_block_document_id != reference_block_document_id"}},
			Indexes: []Index{
				{Name: "ix_block_document_reference__updated", On: `updated`},
			},
		},
		{
			Name: "block_schema",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "fields", Kind: JSONB, Default: literal(`'{}'`)},
				{Name: "block_type_id", Kind: UUID},
				{Name: "checksum", Kind: String},
				{Name: "capabilities", Kind: JSONB, Default: literal(`'[]'`)},
				{Name: "version", Kind: String, Default: literal(`'non-versioned'`)},
			},
			References: []Reference{
				{Column: "block_type_id", Table: "block_type", OnDelete: "CASCADE"},
			},
			Indexes: []Index{
				{Name: "ix_block_schema__block_type_id", On: `block_type_id`},
				{Name: "ix_block_schema__capabilities", Postgres: `capabilities`, Using: "gin"},
				{Name: "ix_block_schema__created", On: `created`},
				{Name: "ix_block_schema__updated", On: `updated`},
				{Name: "uq_block_schema__checksum_version", Unique: true, On: `checksum, version`},
			},
		},
		{
			Name: "block_schema_reference",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "parent_block_schema_id", Kind: UUID},
				{Name: "reference_block_schema_id", Kind: UUID},
			},
			References: []Reference{
				{Column: "parent_block_schema_id", Table: "block_schema", OnDelete: "CASCADE"},
				{Column: "reference_block_schema_id", Table: "block_schema", OnDelete: "CASCADE"},
			},
			Indexes: []Index{
				{Name: "ix_block_schema_reference__updated", On: `updated`},
			},
		},
		{
			Name: "block_type",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "logo_url", Kind: String, Null: true},
				{Name: "documentation_url", Kind: String, Null: true},
				{Name: "description", Kind: String, Null: true},
				{Name: "code_example", Kind: String, Null: true},
				{Name: "is_protected", Kind: Boolean, Default: literal(`'0'`)},
				{Name: "slug", Kind: String},
			},
			Indexes: []Index{
				{Name: "ix_block_type__updated", On: `updated`},
				{Name: "ix_block_type_name_case_insensitive", SQLite: `name`},
				{Name: "trgm_ix_block_type_name", Postgres: `name gin_trgm_ops`, Using: "gin"},
				{Name: "uq_block_type__slug", Unique: true, On: `slug`},
			},
		},
	}
}
