// Package main is k6 with one ability more than the stock binary: SQL over pgx.
//
// The ready-made postgres driver module uses lib/pq, which through PgBouncer in
// transaction mode returns other clients' answers; pgx with
// default_query_exec_mode=exec does not.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"

	_ "github.com/grafana/xk6-sql" // module k6/x/sql
	k6sql "github.com/grafana/xk6-sql/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.k6.io/k6/cmd"
)

const name = "pgx-no-ping"

// noPing is pgx for database/sql without its ping. Before a connection is used again after a
// second, pgx asks the server whether it is there. Through a pooler that is one more transaction,
// in the time of the call: with 2000 clients every call would be two.
type noPing struct{}

func (noPing) OpenConnector(dsn string) (driver.Connector, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	never := func(context.Context, stdlib.ShouldPingParams) bool { return false }
	return stdlib.GetConnector(*config, stdlib.OptionShouldPing(never)), nil
}

func (own noPing) Open(dsn string) (driver.Conn, error) {
	connector, err := own.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return connector.Connect(context.Background())
}

func init() {
	sql.Register(name, noPing{})
	k6sql.RegisterModule(name)
}

func main() {
	cmd.Execute()
}
