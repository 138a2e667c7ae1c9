import type { DescService } from "@bufbuild/protobuf";

/** The name under which the client offers a service: `BillingModelService` is `billingModel`. */
export function shortName(service: DescService): string {
  const name = service.name.replace(/Service$/, "");
  return name.charAt(0).toLowerCase() + name.slice(1);
}
