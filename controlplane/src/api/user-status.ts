import type { UserInfo as UserStatus } from "@tessera/proto";
import type { UserInfo } from "../auth/tokens.ts";

/** A user as reviews show them. */
export function toUserStatus({ name, uid, groups, extra }: UserInfo): UserStatus {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups: [...groups],
    ...(extra === undefined ? {} : { extra: extra as unknown as NonNullable<UserStatus["extra"]> }),
  };
}
