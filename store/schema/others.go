package schema

func others() []Table {
	return []Table{
		{
			Name: "alembic_version",
			Columns: []Column{
				{Name: "version_num", Kind: String32},
			},
			Key:     "version_num",
			KeyName: "alembic_version_pkc",
		},
		{
			Name: "configuration",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "key", Kind: String},
				{Name: "value", Kind: JSONB},
			},
			Uniques: []Unique{
				{"uq_configuration__key", []string{"key"}},
			},
			Indexes: []Index{
				{Name: "ix_configuration__key", On: `key`},
				{Name: "ix_configuration__updated", On: `updated`},
			},
		},
		{
			Name: "csrf_token",
			Columns: []Column{
				{Name: "token", Kind: String},
				{Name: "client", Kind: String},
				{Name: "expiration", Kind: Timestamp},
				id,
				created,
				updated,
			},
			Uniques: []Unique{
				{"uq_csrf_token__client", []string{"client"}},
			},
			Indexes: []Index{
				{Name: "ix_csrf_token__updated", On: `updated`},
			},
		},
		{
			Name: "saved_search",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "filters", Kind: JSONB, Default: literal(`'[]'`)},
			},
			Uniques: []Unique{
				{"uq_saved_search__name", []string{"name"}},
			},
			Indexes: []Index{
				{Name: "ix_saved_search__updated", On: `updated`},
			},
		},
		{
			Name: "variable",
			Columns: []Column{
				id,
				created,
				updated,
				{Name: "name", Kind: String},
				{Name: "tags", Kind: JSONB, Default: literal(`'[]'`)},
				{Name: "value", Kind: JSONB, Null: true},
			},
			Uniques: []Unique{
				{"uq_variable__name", []string{"name"}},
			},
			Indexes: []Index{
				{Name: "ix_variable__updated", On: `updated`},
			},
		},
	}
}
