/** What other rooms may use of Stargate: starting one over ports, as the simulator does. */

export { type Stargate, startStargate } from "./stargate.ts";
