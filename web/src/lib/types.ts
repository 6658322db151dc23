// The documents that the API answers with, under short names. The shapes are generated; see `schema.d.ts`.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Alert = Schemas['Alert'];
export type AlertOutcome = Schemas['AlertOutcome'];
export type AlertPage = Schemas['AlertPage'];
export type AuditPage = Schemas['AuditPage'];
export type BanPage = Schemas['BanPage'];
export type DetectorPage = Schemas['DetectorPage'];
export type FieldCatalogue = Schemas['FieldCatalogue'];
export type FilterField = Schemas['FilterField'];
export type FlowColumn = Schemas['FlowColumn'];
export type Explanation = Schemas['Explanation'];
export type FleetAlertPage = Schemas['FleetAlertPage'];
export type FleetAnswer = Schemas['FleetAnswer'];
export type FleetFlowPage = Schemas['FleetFlowPage'];
export type FleetRulesPage = Schemas['FleetRulesPage'];
export type FleetSnapshotPage = Schemas['FleetSnapshotPage'];
export type FleetView = Schemas['FleetView'];
export type FlowPage = Schemas['FlowPage'];
export type FlowRow = Schemas['FlowRow'];
export type Health = Schemas['Health'];
export type HostDigest = Schemas['HostDigest'];
export type InvitationIssued = Schemas['InvitationIssued'];
export type InvitationPage = Schemas['InvitationPage'];
export type Latency = Schemas['Latency'];
export type MemberPage = Schemas['MemberPage'];
export type MutePage = Schemas['MutePage'];
export type PolicyCheck = Schemas['PolicyCheck'];
export type PolicyDifference = Schemas['PolicyDifference'];
export type PolicyDifferences = Schemas['PolicyDifferences'];
export type PolicyFault = Schemas['PolicyFault'];
export type PolicyOutcome = Schemas['PolicyOutcome'];
export type PolicyPage = Schemas['PolicyPage'];
export type PolicyStatement = Schemas['PolicyStatement'];
export type Problem = Schemas['Problem'];
export type Rehearsal = Schemas['Rehearsal'];
export type FleetRehearsal = Schemas['FleetRehearsal'];
export type HostRehearsal = Schemas['HostRehearsal'];
export type Role = Schemas['Role'];
export type RuleView = Schemas['RuleView'];
export type SeriesPage = Schemas['SeriesPage'];
export type SessionView = Schemas['SessionView'];
export type Severity = Schemas['Severity'];
export type Snapshot = Schemas['Snapshot'];
export type TokenView = Schemas['TokenView'];
export type TopPage = Schemas['TopPage'];
export type TrailEntry = Schemas['TrailEntry'];
export type UserView = Schemas['UserView'];

/** A flow, and in a fleet the host that saw it. */
export interface HostFlow {
  flow: FlowRow;
  host?: string;
  host_id?: string;
}
