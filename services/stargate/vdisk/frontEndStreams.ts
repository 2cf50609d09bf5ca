/**
 * The streams of forwarded I/O that front-ends on other CVMs have open here, the newest of each. A
 * front-end that gives a stream up repeats its writes on the next one; but the end of the old stream
 * may not get through to us (its connection is half open). So the first request of the next one ends
 * it: what was held up there never comes into the log (P1).
 *
 * Which stream is newer is told by the number of its first request, which grows over all streams of a
 * front-end: an old stream's beginning may itself be late.
 */

interface Newest {
  readonly firstId: number;
  readonly abort: AbortController;
}

export class FrontEndStreams {
  readonly #newest = new Map<string, Newest>();

  /**
   * A stream of this front-end begins; older ones end.
   * @param frontEnd identity of the front-end's process
   * @returns whether it is the newest one; if not, its requests must not be carried out
   */
  enter(frontEnd: string, firstId: number, abort: AbortController): boolean {
    const before = this.#newest.get(frontEnd);
    if (before !== undefined && before.firstId >= firstId) return false;
    before?.abort.abort();
    this.#newest.set(frontEnd, { firstId, abort });
    return true;
  }

  /** The stream has ended. */
  leave(frontEnd: string, abort: AbortController): void {
    if (this.#newest.get(frontEnd)?.abort === abort) this.#newest.delete(frontEnd);
  }
}
