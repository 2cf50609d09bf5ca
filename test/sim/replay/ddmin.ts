/**
 * Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002): the
 * smallest part of a list that still fails, found by trying parts of it and what is left without
 * them, in ever finer steps. The result is minimal in that no single item can be left out, unless
 * the tests ran out before.
 */

/**
 * The first of the candidates that still fails; `undefined` when none does, or when no more tests
 * are to be spent.
 */
export type FirstFailing<T> = (candidates: readonly T[]) => Promise<T | undefined>;

/** A part of `items`, in their order, that still fails; `items` themselves are known to fail. */
export async function minimise<T>(
  items: readonly T[],
  firstFailing: FirstFailing<readonly T[]>,
): Promise<readonly T[]> {
  if (items.length === 0 || (await firstFailing([[]])) !== undefined) return [];
  let kept = items;
  let parts = 2;
  while (kept.length > 1) {
    const chunks = split(kept, Math.min(parts, kept.length));
    const chunk = await firstFailing(chunks);
    const smaller = chunk ?? (chunks.length > 2 ? await firstFailing(rests(chunks)) : undefined);
    if (smaller !== undefined) {
      kept = smaller;
      parts = chunk === undefined ? Math.max(chunks.length - 1, 2) : 2;
    } else if (chunks.length === kept.length) return kept;
    else parts = chunks.length * 2;
  }
  return kept;
}

/** So many parts of nearly equal length, none empty. */
function split<T>(items: readonly T[], parts: number): readonly (readonly T[])[] {
  const edge = (part: number): number => Math.floor((part * items.length) / parts);
  return Array.from({ length: parts }, (_, part) => items.slice(edge(part), edge(part + 1)));
}

/** All items without one chunk, for each chunk. */
function rests<T>(chunks: readonly (readonly T[])[]): readonly (readonly T[])[] {
  return chunks.map((left) => chunks.filter((chunk) => chunk !== left).flat());
}
