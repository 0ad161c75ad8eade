// The operations of the load targets through the front door, every answer checked.
//
// `guestcomms load run` writes a plan (k6's options, what to call with) and starts this with
// PLAN, APP_DSN and WORKER_DSN. Each virtual user holds one connection. What is right or wrong is
// said by metrics: a thrown exception alone fails no run of k6.
import sql from "k6/x/sql";
import driver from "k6/x/sql/driver/pgx-no-ping";
import exec from "k6/execution";
import { sleep } from "k6";
import { SharedArray } from "k6/data";
import { Counter, Trend } from "k6/metrics";

// Every client has its own copy of the plan, which is small. A shared array is parsed and frozen
// element by element at each access: elements are small, too.
const plan = JSON.parse(open(__ENV.PLAN));
const shared = (name) => new SharedArray(name, () => JSON.parse(open(`${__ENV.DATA}/${name}.json`)));
const blocks = shared("blocks"); // a hundred guests of a tenant, as an array of PostgreSQL
const slices = shared("slices"); // a block and a communication that nobody has got yet
const pages = shared("pages"); // a large tenant and a guest to go on from
const reported = shared("reported"); // twenty recipients of what a tenant has sent
const tenants = plan.tenants;
const writes = new Set(["bulk_send", "status_update", "send"]);
const operations = { bulk_send, template_render, recipient_query, status_update, send };

export const options = plan.options;

const latency = new Trend("latency", true); // of answered calls
const begun = new Counter("begun"); // each ends as one of the next three, or k6 cuts it off
const answered = new Counter("answered"); // right answers
const failed = new Counter("failed"); // no answer
const wrong = new Counter("wrong"); // another's answer, or not what was asked for
const repeated = new Counter("repeated"); // calls made again because they had no answer
const messages = new Counter("messages"); // recipients, events, pages' rows, sent messages
const lag = new Trend("generator_lag", true);

function connect(dsn) {
  // `exec`: one round trip a call from the first on, as libpq does it. What describes a statement
  // before it is called waits twice for a connection of the pool.
  const mode = `default_query_exec_mode=${plan.exec_mode}`;
  return sql.open(driver, `${dsn}${dsn.includes("?") ? "&" : "?"}${mode}`, {
    max_open_conns: 1,
    max_idle_conns: 1,
  });
}

const app = connect(__ENV.APP_DSN);
const worker = connect(__ENV.WORKER_DSN);

// Clients that wait for a clock are there before it starts; those of a ramp come with it.
if (plan.connected && __VU > 0) app.query("SELECT 1 AS here");

class Wrong extends Error {}

function expect(condition, what) {
  if (!condition) throw new Wrong(what);
}

// The answer to a request: one row that carries the request's own id and operation.
function ask(db, operation, request, query, ...values) {
  const rows = db.query(`SELECT '${operation}' AS operation, $1::text AS request, ${query}`, request, ...values);
  // An error after the first row is silent in this driver: count the rows.
  expect(rows.length > 0, "no row");
  for (const row of rows) {
    expect(row.request === request && row.operation === operation, `answer to ${row.operation} ${row.request}`);
  }
  return rows;
}

const draw = (below) => Math.floor(Math.random() * below);

// Each access to a part of `exec` makes a new object; what it tells is of the moment all the same.
let instance, scenario;
function now() {
  instance ||= exec.instance;
  return instance.currentTestRunDuration; // Date.now() has whole milliseconds
}

// A tenant by its size: larger ones are called more often.
function tenant_by_size() {
  const place = draw(plan.shares[plan.shares.length - 1]);
  return tenants[plan.shares.findIndex((end) => place < end)];
}

function bulk_send(request, number) {
  // The number of the call names a hundred guests whom nobody has named before.
  expect(number < slices.length, "more calls than fresh recipients were made for");
  const slice = slices[number];
  const { tenant, count, guests } = blocks[slice.block];
  const [row] = ask(
    app, "bulk_send", request,
    "sent.accepted, sent.duplicates FROM public.bulk_send($2::uuid, $3::uuid," +
      " p_guest_ids => $4::text::uuid[], p_idempotency_key => $1::text) AS sent",
    tenants[tenant].organization, slice.communication, guests,
  );
  // The answer to a call that is made again is the first one's.
  expect(row.accepted === count && row.duplicates === 0, `${row.accepted} accepted, ${row.duplicates} known`);
  return count;
}

function template_render(request) {
  const tenant = tenant_by_size();
  const values = { ...plan.variables, guest_name: `Guest ${request}`, organization_name: tenant.name };
  const [row] = ask(
    app, "template_render", request,
    "made.subject, made.body FROM public.render_template($2::uuid, $3::uuid, $4::text::jsonb) AS made",
    tenant.organization, tenant.template, JSON.stringify(values),
  );
  expect(row.subject === `For Guest ${request}`, `subject ${row.subject}`);
  expect(row.body.includes(`Guest ${request},`) && row.body.includes(tenant.name), "another's body");
  expect(row.body.length >= 2000, `a body of ${row.body.length} characters`);
  return 1;
}

function recipient_query(request) {
  const page = pages[draw(pages.length)];
  const tenant = tenants[page.tenant];
  const rows = ask(
    app, "recipient_query", request,
    "page.recipient_key::text AS key, page.id::text AS id, page.recipient_name AS name, page.status" +
      " FROM public.list_recipients($2::uuid, $3::uuid, 'sent', $4::uuid, $5::integer) AS page",
    tenant.organization, tenant.queried, page.after, plan.sizes.recipient_query,
  );
  expect(rows.length === plan.sizes.recipient_query, `${rows.length} rows`);
  for (const row of rows) {
    expect(row.name.startsWith(tenant.prefix) && row.status === "sent" && row.key > page.after, `row ${row.name}`);
  }
  return rows.length;
}

let before = {}; // events that this client has reported
let report = {}; // its last call: what is made again has to be the same
function compose(request) {
  const { tenant, recipients } = reported[draw(reported.length)];
  const events = recipients.map((recipient, place) => ({
    provider: "load",
    provider_event_id: `${request}-${place}`,
    recipient_id: recipient,
    status: place === 0 ? "deferred" : ["delivered", "opened", "clicked"][draw(3)],
    occurred_at: new Date(Date.now() - (place === 0 ? 3600000 : draw(5000))).toISOString(), // the first is late
  }));
  // Two that this client reported before, if it was to the same tenant; else two of this call again.
  const known = before.tenant === tenant ? before.events : events.slice(1, 3);
  events.splice(events.length - 2, 2, ...known);
  return { request, tenant, events, known: known.length };
}

function status_update(request) {
  const again = report.request === request;
  if (!again) report = compose(request);
  const { tenant, events, known } = report;
  const [row] = ask(
    app, "status_update", request,
    "told.accepted, told.duplicates, told.unmatched FROM public.record_delivery_events($2::uuid, $3::text::jsonb)" +
      " AS told",
    tenants[tenant].organization, JSON.stringify(events),
  );
  before = { tenant, events: events.slice(3, 5) };
  expect(row.unmatched === 0, `${row.unmatched} events of nobody's`);
  expect(
    row.accepted + row.duplicates === events.length && (again || row.duplicates === known),
    `${row.accepted} accepted, ${row.duplicates} known`,
  );
  return events.length;
}

function send(request) {
  const [claim] = ask(
    worker, "send", request,
    "(SELECT to_json(lease)::text FROM public.claim_batches('load ' || $1::text, 1, '60 seconds', $2::integer)" +
      " AS lease) AS lease",
    plan.sizes.send,
  );
  expect(claim.lease, "the queue is empty");
  const lease = JSON.parse(claim.lease);
  // Messages of others are handed back untouched.
  const ours = tenants.some((one) => one.organization === lease.organization_id);
  const results = lease.recipient_ids.map((id) =>
    ours
      ? { recipient_id: id, outcome: "sent", provider: "load", provider_message_id: `${request}-${id}` }
      : { recipient_id: id, outcome: "not_attempted" },
  );
  const [row] = ask(
    worker, "send", request,
    "public.complete_batch($2::uuid, $3::text, $4::uuid, $5::text::jsonb) AS became",
    lease.organization_id, lease.batch_id, lease.lease_token, JSON.stringify(results),
  );
  expect(ours, `a lease of ${lease.organization_id}`);
  expect(["ready", "scheduled", "deleted"].includes(row.became), `became ${row.became}`);
  return results.length;
}

// Without ids and numbers: k6 keeps a series for each text.
function reason(error) {
  return `${error.message || error}`.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|\d+/g, "#").slice(0, 120);
}

function call(operation, number) {
  const tags = { op: operation };
  const request = `${plan.run}-${scenario.name}-${number}`;
  const start = now();
  for (let left = plan.repeats; ; left--) {
    begun.add(1, tags);
    try {
      const done = operations[operation](request, number);
      latency.add(now() - start, tags);
      answered.add(1, tags);
      messages.add(done, tags);
      if (plan.repeats && writes.has(operation)) console.log(`acknowledged ${operation} ${request} ${done}`);
      return;
    } catch (error) {
      (error instanceof Wrong ? wrong : failed).add(1, { ...tags, why: reason(error) });
      if (error instanceof Wrong) return;
      // A client that is refused does not hammer: it would measure nothing but refusals.
      sleep(0.1 + Math.random() * 0.4);
      // A claim that had no answer ends by itself; another claim gets its messages.
      if (left <= 0 || operation === "send") return;
      repeated.add(1, tags);
    }
  }
}

// Closed: the operation follows from the number of the iteration, so weights are exact.
export function mix() {
  scenario ||= exec.scenario;
  const iteration = scenario.iterationInTest;
  const [operation, place] = plan.mix[iteration % plan.mix.length];
  call(operation, Math.floor(iteration / plan.mix.length) * plan.per_mix[operation] + place);
}

// Open: a scenario an operation, named like it.
export function one() {
  scenario ||= exec.scenario;
  call(scenario.name, scenario.iterationInTest);
}

// A generator that gets no CPU wakes up late: what it measures then is itself. The first one tells
// when load began (HEARTBEAT_MS of result.py).
export function heartbeat() {
  const start = now();
  sleep(0.05);
  lag.add(now() - start - 50);
}
