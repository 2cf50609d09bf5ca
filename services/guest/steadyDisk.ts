/**
 * A disk that outlives the front-end it was opened at: when a connection breaks, it goes on at the next
 * address. What was under way is asked again there. That is safe for its one user: a write that was
 * not acknowledged is still the newest for its bytes, because nothing else writes them meanwhile.
 */

import { AntipodeError, type ErrorCode } from "../base/errors.ts";
import { connectNbd } from "./nbdClient.ts";
import type { NbdClient, NbdWorld } from "./nbdConnection.ts";
import type { NbdTarget } from "./nbdUri.ts";

/** Longer than a takeover: lease, patience for peers, read lease. */
const GIVE_UP_MS = 60_000;
const PAUSE_MS = 200;
const PASSING: ReadonlySet<ErrorCode> = new Set([
  "PEER_UNREACHABLE",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
  "NOT_OWNER",
]);

/**
 * Opens the export at the first address that answers.
 * @throws AntipodeError when none does within a minute
 */
export async function openSteadyDisk(
  world: NbdWorld,
  targets: readonly NbdTarget[],
): Promise<NbdClient> {
  const disk = new SteadyDisk(world, targets);
  await disk.connect();
  return disk;
}

class SteadyDisk implements NbdClient {
  readonly #world: NbdWorld;
  readonly #targets: readonly NbdTarget[];
  #next = 0;
  #client: NbdClient | undefined;
  #connecting: Promise<NbdClient> | undefined;

  constructor(world: NbdWorld, targets: readonly NbdTarget[]) {
    this.#world = world;
    this.#targets = targets;
  }

  get target(): NbdTarget {
    return this.#current.target;
  }
  get sizeBytes(): number {
    return this.#current.sizeBytes;
  }
  get readOnly(): boolean {
    return this.#current.readOnly;
  }
  get preferredBlockBytes(): number {
    return this.#current.preferredBlockBytes;
  }
  get payloadBytesMax(): number {
    return this.#current.payloadBytesMax;
  }
  get hasBlockStatus(): boolean {
    return this.#current.hasBlockStatus;
  }
  get outstanding(): number {
    return this.#current.outstanding;
  }
  get gone(): Promise<AntipodeError | undefined> {
    return this.#current.gone;
  }

  async connect(): Promise<void> {
    await this.#steadily(() => Promise.resolve());
  }
  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#steadily((client) => client.read(offset, length));
  }
  write(offset: number, data: Uint8Array, durable?: "fua"): Promise<void> {
    return this.#steadily((client) => client.write(offset, data, durable));
  }
  zero(offset: number, length: number): Promise<void> {
    return this.#steadily((client) => client.zero(offset, length));
  }
  trim(offset: number, length: number): Promise<void> {
    return this.#steadily((client) => client.trim(offset, length));
  }
  flush(): Promise<void> {
    return this.#steadily((client) => client.flush());
  }
  blockStatus(offset: number, length: number): ReturnType<NbdClient["blockStatus"]> {
    return this.#steadily((client) => client.blockStatus(offset, length));
  }
  async close(): Promise<void> {
    await this.#client?.close();
  }

  /** The last connection made, also when it is broken: what it says of the disk stays true. */
  get #current(): NbdClient {
    if (this.#client === undefined)
      throw new AntipodeError("PEER_UNREACHABLE", "the disk was never reached");
    return this.#client;
  }

  async #steadily<T>(act: (client: NbdClient) => Promise<T>): Promise<T> {
    const untilMs = this.#world.clock.now() + GIVE_UP_MS;
    let broken: NbdClient | undefined;
    for (;;) {
      try {
        const client =
          this.#client !== undefined && this.#client !== broken
            ? this.#client
            : await this.#reconnect(broken);
        broken = client;
        return await act(client);
      } catch (error) {
        if (!isPassing(error) || this.#world.clock.now() > untilMs) throw error;
        await this.#world.clock.sleep(PAUSE_MS);
      }
    }
  }

  /** One attempt at a time; whoever finds that another has replaced the broken connection uses it. */
  #reconnect(broken: NbdClient | undefined): Promise<NbdClient> {
    if (this.#client !== undefined && this.#client !== broken) return Promise.resolve(this.#client);
    this.#connecting ??= this.#dial().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #dial(): Promise<NbdClient> {
    const target = this.#targets[this.#next++ % this.#targets.length];
    if (target === undefined)
      throw new AntipodeError("INVALID_ARGUMENT", "a disk needs an address");
    const client = await connectNbd(this.#world, target);
    this.#client = client;
    return client;
  }
}

/** The connection is gone, or was never made: another front-end can help. */
function isPassing(error: unknown): boolean {
  return error instanceof AntipodeError && PASSING.has(error.code);
}
