/** What showing a job costs and how current it is: the board spares etcd the tasks, never the truth. */

import { beforeEach, describe, expect, it } from "vitest";
import { emptyLedger } from "../../../services/base/ledger.ts";
import { readBindings } from "../../../services/cerebro/api/reads.ts";
import { Board } from "../../../services/cerebro/replication/board.ts";
import { openTask } from "../../../services/cerebro/replication/planning.ts";
import type { Site } from "../../../services/cerebro/site.ts";
import { cerebroKeys, type JobRecord } from "../../../services/cerebro/state/records.ts";
import { putRecord } from "../../../services/cerebro/state/store.ts";
import type { Coordinator, Operation } from "../../../services/platform/coordinator.ts";
import { CerebroService, type Job } from "../../../services/platform/wire/cerebro.ts";
import { createFakeClock, type FakeClock } from "../../support/fakeClock.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createMemoryEtcd } from "../../support/memoryCoordinator.ts";

const ID = "0123456789abcdef0123456789abcdef";
const running: JobRecord = {
  id: ID,
  pd: "gold",
  recoveryPointId: "rp",
  recoveryPointName: "rp-1",
  remote: "B",
  state: "RUNNING",
  waiting: "",
  baseId: "",
  baseName: "",
  baseExcluded: [],
  disks: [],
  placements: [],
  taskCount: 3,
  ledger: emptyLedger,
  spent: emptyLedger,
  leaderEpoch: 1,
  leaderIncarnation: "1",
  leaderChanges: 0,
  createdAtMs: 1,
  endedAtMs: 0,
  errorCode: "",
  errorMessage: "",
};

let clock: FakeClock;
let etcd: Coordinator;
let board: Board;
/** Prefixes that were listed since the board was filled. */
let listed: string[];
let site: Site;

const write = (...then: Operation[]) => etcd.transact({ when: [], then });
const task = (index: number, state: "open" | "done") =>
  putRecord(cerebroKeys.task(ID, index), {
    ...openTask({ jobId: ID, index, disk: 0, kind: "subtrees", subtrees: [] }),
    state,
  });

async function call(method: { readonly path: string }, request: unknown): Promise<unknown> {
  const leadership = {
    term: () => undefined,
    leader: () => Promise.resolve(undefined),
    onChange: () => () => undefined,
  };
  const binding = readBindings({ site, board, leadership }).find(
    (one) => one.method.path === method.path,
  );
  if (binding?.kind !== "unary") throw new Error(`no ${method.path}`);
  return binding.handle(request, { signal: new AbortController().signal, peer: "test" });
}
const show = async (): Promise<Job> =>
  ((await call(CerebroService.showJob, { id: ID })) as { job: Job }).job;

beforeEach(async () => {
  clock = createFakeClock();
  const log = createFakeLog();
  etcd = createMemoryEtcd(clock).connect();
  listed = [];
  const counting: Coordinator = {
    ...etcd,
    list: (prefix) => {
      listed.push(prefix);
      return etcd.list(prefix);
    },
  };
  site = { coordinator: counting, clock, log } as unknown as Site;
  board = new Board(site);
  await write(putRecord(cerebroKeys.job(ID), running), task(0, "done"), task(1, "open"));
});

async function fillBoard(): Promise<void> {
  board.start();
  await clock.tick(10);
  listed = [];
}

describe("showing a running job", () => {
  it("reads its record alone, and has tasks and progress from the board", async () => {
    await fillBoard();
    await write(task(1, "done"));
    await clock.settle();
    for (let ask = 0; ask < 5; ask++) expect((await show()).tasksDone).toBe(2);
    expect(listed).toEqual([]);
    const { jobs } = (await call(CerebroService.listJobs, {})) as { jobs: Job[] };
    expect(jobs.map(({ id, tasksDone }) => [id, tasksDone])).toEqual([[ID, 2]]);
    expect(listed).toEqual([cerebroKeys.jobs]);
    board.close();
  });

  it("reads everything while the board does not show the job as it is", async () => {
    expect(await show()).toMatchObject({ tasksDone: 1, tasksTotal: 3 });
    expect(listed).toContain(cerebroKeys.tasks(ID));
    await fillBoard();
    board.close();
    await write(putRecord(cerebroKeys.job(ID), { ...running, taskCount: 2 }), task(1, "done"));
    await clock.settle();
    expect(await show()).toMatchObject({ tasksDone: 2, tasksTotal: 2 });
    expect(listed).toContain(cerebroKeys.tasks(ID));
  });

  it("asks for no tasks once the job has ended", async () => {
    await fillBoard();
    await write(putRecord(cerebroKeys.job(ID), { ...running, state: "DONE", endedAtMs: 2 }));
    expect(await show()).toMatchObject({ state: "DONE", tasksDone: 3 });
    expect(listed).toEqual([]);
    board.close();
  });
});
