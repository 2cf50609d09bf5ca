/**
 * What every operation of the fake disk passes before it takes effect: the test's hook, then the
 * faults that are on: slow, stuck, failing. A fault that is ended stops nobody any more; operations
 * that it held go on.
 */

import { AntipodeError } from "../../services/base/errors.ts";
import type { Prng } from "../../services/base/prng.ts";
import type { Clock } from "../../services/platform/clock.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";

export type DiskOperation =
  | "open"
  | "read"
  | "write"
  | "sync"
  | "truncate"
  | "list"
  | "makeFolder"
  | "remove"
  | "rename"
  | "syncDirectory";

/** Which operations a fault meets; all of them where nothing is said. */
export interface DiskSelection {
  readonly operation?: DiskOperation;
  /** Only on paths that contain this. */
  readonly pathPart?: string;
}

export interface FailurePlan extends DiskSelection {
  readonly operation: DiskOperation;
  readonly errno: "ENOSPC" | "EIO";
  /** How many of these operations succeed first. */
  readonly afterCount?: number;
  /** How many fail then; one by default. */
  readonly times?: number;
}

/** Operations that take their time: `delayMs` and up to `jitterMs` more, drawn from the generator. */
export interface SlowPlan extends DiskSelection {
  readonly clock: Clock;
  readonly delayMs: number;
  readonly jitterMs?: number;
  readonly prng?: Prng;
}

export type DiskHook = (operation: DiskOperation, path: string) => void | Promise<void>;

export interface Gate {
  /** Lets an operation through after the hooks, or fails it as planned; at once where nothing is on. */
  pass(operation: DiskOperation, path: string): Promise<void> | undefined;
  readonly plan: (plan: FailurePlan) => Undo;
  readonly hook: (hook: DiskHook | undefined) => void;
  /** One more hook beside the others. */
  readonly addHook: (hook: DiskHook) => Undo;
  readonly slow: (plan: SlowPlan) => Undo;
  /** These operations do not end before the fault does. */
  stick(selection: DiskSelection): Undo;
  undoAll(): void;
}

/** A gate without faults. */
export function createGate(): Gate {
  const failures = new FaultSet<FailureState>();
  const hooks = new FaultSet<DiskHook>();
  let ownHook: DiskHook | undefined;
  const meetAll = async (operation: DiskOperation, path: string): Promise<void> => {
    await ownHook?.(operation, path);
    if (!hooks.isEmpty) for (const hook of hooks.all()) await hook(operation, path);
    if (!failures.isEmpty) for (const state of failures.all()) meet(state, operation, path);
  };
  return {
    pass: (operation, path) =>
      ownHook === undefined && hooks.isEmpty && failures.isEmpty
        ? undefined
        : meetAll(operation, path),
    plan: (plan) => failures.add({ plan, passed: 0, failedCount: 0 }),
    hook(next) {
      ownHook = next;
    },
    addHook: (hook) => hooks.add(hook),
    slow: (plan) =>
      hooks.add(async (operation, path) => {
        if (!selects(plan, operation, path)) return;
        const extraMs = plan.prng === undefined ? 0 : plan.prng.unit() * (plan.jitterMs ?? 0);
        await plan.clock.sleep(plan.delayMs + extraMs);
      }),
    stick(selection) {
      const held: (() => void)[] = [];
      // An operation that another fault held meanwhile comes here when this one is over already.
      let isOver = false;
      return hooks.add(
        async (operation, path) => {
          if (!isOver && selects(selection, operation, path))
            await new Promise<void>((resolve) => {
              held.push(resolve);
            });
        },
        () => {
          isOver = true;
          for (const release of held.splice(0)) release();
        },
      );
    },
    undoAll() {
      failures.undoAll();
      hooks.undoAll();
      ownHook = undefined;
    },
  };
}

/** Whether an operation on a path is one that a fault meets. */
export function selects(selection: DiskSelection, operation: DiskOperation, path: string): boolean {
  return (
    (selection.operation === undefined || selection.operation === operation) &&
    path.includes(selection.pathPart ?? "")
  );
}

/** The error of a failed system call, as the real adapter gives it. */
export function failed(operation: string, path: string, errno: string): AntipodeError {
  const code = errno === "ENOSPC" ? "DISK_FULL" : "DISK_FAILED";
  return new AntipodeError(code, `cannot ${operation} "${path}": ${errno}`, {
    operation,
    path,
    errno,
  });
}

interface FailureState {
  readonly plan: FailurePlan;
  passed: number;
  failedCount: number;
}

function meet(state: FailureState, operation: DiskOperation, path: string): void {
  const { plan } = state;
  if (!selects(plan, operation, path)) return;
  if (state.passed < (plan.afterCount ?? 0)) state.passed += 1;
  else if (state.failedCount < (plan.times ?? 1)) {
    state.failedCount += 1;
    throw failed(operation, path, plan.errno);
  }
}
