// Package main is k6 with one ability more than the stock binary: SQL over pgx.
//
// The ready-made postgres driver module uses lib/pq, which through PgBouncer in
// transaction mode returns other clients' answers; pgx with
// default_query_exec_mode=cache_describe does not.
package main

import (
	_ "github.com/grafana/xk6-sql" // module k6/x/sql
	"github.com/grafana/xk6-sql/sql"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver named "pgx"
	"go.k6.io/k6/cmd"
)

func init() {
	sql.RegisterModule("pgx")
}

func main() {
	cmd.Execute()
}
