import type { SelfSubjectReview } from "@tessera/proto";
import { formatTime } from "../registry/object-meta.ts";
import { decodeBody } from "./decode.ts";
import type { VirtualCall, VirtualResource } from "./discovery.ts";
import { type ApiResponse, jsonResponse } from "./http.ts";
import { toUserStatus } from "./user-status.ts";

/** "Who am I?": has no objects, only answers. */
export const selfSubjectReviews: VirtualResource = {
  group: "authentication.k8s.io",
  version: "v1",
  kind: "SelfSubjectReview",
  plural: "selfsubjectreviews",
  singular: "selfsubjectreview",
  namespaced: false,
  verbs: ["create"],
  async create({ request, user, nowMs }: VirtualCall): Promise<ApiResponse> {
    await decodeBody<SelfSubjectReview>(request, selfSubjectReviews);
    const review: SelfSubjectReview = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "SelfSubjectReview",
      metadata: { creationTimestamp: formatTime(nowMs) },
      status: { userInfo: toUserStatus(user) },
    };
    return jsonResponse(review, 201);
  },
};
