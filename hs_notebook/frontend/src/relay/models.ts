import type { World } from "./call";
import { messageOf, parsed } from "./reading";

export interface Found {
  models: string[];
  problem: string; // empty where there is none
  refused: boolean; // the key
}

/** The models that the relay offers for a key. */
export async function listModels(world: World, base: string, key: string): Promise<Found> {
  try {
    const headers = { authorization: `Bearer ${key}` };
    const reply = await world.fetch(`${base}v1/models`, { headers, cache: "no-store", credentials: "omit" });
    const body = parsed(await reply.text());
    if (!reply.ok) return nothing(messageOf(body) || `The relay answered ${reply.status}.`, reply.status === 401);
    const data = Array.isArray(body?.["data"]) ? (body["data"] as ({ id?: unknown } | null)[]) : [];
    return { models: data.map((one) => one?.id).filter((id) => typeof id === "string"), problem: "", refused: false };
  } catch {
    return nothing("The relay cannot be reached.");
  }
}

export function nothing(problem: string, refused = false): Found {
  return { models: [], problem, refused };
}
