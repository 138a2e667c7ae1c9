import { UserService } from "../../gen/tensormesh/user/v1/user_service_pb.js";
import { present } from "./model-ref.ts";
import type { Session } from "./session.ts";

/** The id of the user that `reference` names: an id, or an e-mail address that only one user has. */
export async function userIdOf(session: Session, reference: string): Promise<string> {
  if (!reference.includes("@")) return reference;
  const { user } = await session.client(UserService).getUserProfile({ userEmail: reference });
  return present(user).id;
}
