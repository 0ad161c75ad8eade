// Does every client get its own answers through the front door?
//
// Each virtual user holds one connection (TLS, HAProxy, PgBouncer in transaction mode) and asks for
// what only it knows. A pooler that mixes clients up, or a driver that splits a request over two
// transactions, answers with somebody else's number.
import sql from "k6/x/sql";
import driver from "k6/x/sql/driver/pgx-no-ping";
import { check, fail } from "k6";
import { Counter } from "k6/metrics";

const answered = new Counter("answered");
const wrong = new Counter("wrong");

export const options = {
  scenarios: {
    front_door: {
      executor: "constant-vus",
      vus: Number(__ENV.CLIENTS),
      duration: __ENV.DURATION,
      gracefulStop: "5s",
    },
  },
  // A threshold passes when it has no samples, so the count has one of its own.
  thresholds: {
    answered: [`count>=${__ENV.AT_LEAST}`],
    wrong: ["count==0"],
    checks: ["rate==1"],
  },
};

// exec: one round trip a statement, as transaction pooling needs it.
const separator = __ENV.DSN.includes("?") ? "&" : "?";
const db = sql.open(driver, `${__ENV.DSN}${separator}default_query_exec_mode=exec`, {
  max_open_conns: 1,
  max_idle_conns: 1,
});

export default function () {
  const mine = `${__VU}-${__ITER}`;
  const rows = db.query("SELECT $1::text AS mine, pg_is_in_recovery() AS standby", mine);
  // An error after the first row is silent in this driver: count the rows.
  if (rows.length !== 1) fail(`${rows.length} rows for ${mine}`);
  const own = rows[0].mine === mine;
  check(rows, { "own answer": () => own, "from the leader": (r) => r[0].standby === false });
  answered.add(1);
  if (!own) wrong.add(1);
}

export function teardown() {
  db.close();
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
