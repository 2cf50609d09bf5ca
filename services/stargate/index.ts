/** What other rooms may use of Stargate: starting one over ports, and the copies that its files hold. */

export { type ChunkCopy, listChunkCopies } from "./extents/atlas.ts";
export { type Stargate, startStargate } from "./stargate.ts";
