import type { Event } from "@tessera/proto";
import type { Api, ApiList, ApiObject } from "../api/api.ts";
import { formatAge } from "../print/age.ts";
import type { Line } from "./writer.ts";

/** The events about one object, oldest first. */
export async function readEvents(api: Api, object: ApiObject, namespace: string, signal?: AbortSignal): Promise<Event[]> {
  const fields = {
    "involvedObject.kind": object.kind,
    "involvedObject.name": object.metadata?.name,
    "involvedObject.uid": eventUid(object),
  };
  const fieldSelector = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}=${value}`)
    .join(",");
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`;
  const list = await api.request<ApiList<Event>>("GET", path, { query: { fieldSelector }, signal });
  return (list.items ?? []).sort((one, other) => Date.parse(lastTime(one)) - Date.parse(lastTime(other)));
}

/** Events about a node name it by its name in place of its uid. */
function eventUid(object: ApiObject): string | undefined {
  return object.kind === "Node" ? undefined : object.metadata?.uid;
}

export function lastTime(event: Event): string {
  return event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? event.metadata?.creationTimestamp ?? "";
}

export function describeEvents(events: readonly Event[], now: number): Line {
  if (events.length === 0) return { name: "Events", table: [] };
  const rows = events.map((event) => [
    event.type ?? "",
    event.reason ?? "",
    describeAge(event, now),
    event.source?.component ?? event.reportingComponent ?? "",
    event.message ?? "",
  ]);
  return { name: "Events", table: [["TYPE", "REASON", "AGE", "FROM", "MESSAGE"], ...rows] };
}

/** "5s", or "5s (3 times over 2m)". */
export function describeAge(event: Event, now: number): string {
  const age = formatAge(lastTime(event), now);
  const count = event.count ?? event.series?.count ?? 1;
  return count > 1 ? `${age} (${count} times over ${formatAge(event.firstTimestamp ?? event.eventTime ?? lastTime(event), now)})` : age;
}
