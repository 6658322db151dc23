//! Taking a host out of the fleet: a charter without it, signed where the root's key is at hand, given to all.
//!
//! Invariant: without the root's key nothing is changed.

use hivewall_api::FleetRefusal;
use hivewall_cluster::{NodeId, Order};
use hivewall_net::Handle;
use hivewall_trust::{CHARTER_NAME, Charter, NAME_BYTES_MAX};
use hivewall_view::fleet::{FleetOutcome, hosts};

use super::disk::Directory;
use super::program::unix_ms;
use super::view::name_of;

/// What came of it, and what the log says of it.
pub(super) fn remove(
    node: &Handle,
    directory: &Directory,
    host: &str,
    why: &str,
) -> Result<(FleetOutcome, String), FleetRefusal> {
    let failed = |reason: String| FleetRefusal::Failed { reason };
    let state = node.state();
    let is_meant = |id: NodeId| id.to_string().starts_with(host) || name_of(&state, id) == host;
    let meant: Vec<NodeId> = state.members.iter().map(|member| member.id).filter(|id| is_meant(*id)).collect();
    let [id] = meant.as_slice() else {
        let reason = if meant.is_empty() {
            format!("no member is called {host}; `hivewall cluster members` lists them")
        } else {
            format!("{host} means {} members; give the id of one", meant.len())
        };
        return Err(FleetRefusal::Invalid { reason });
    };
    if *id == state.id {
        let reason = "this is this host itself; `hivewall cluster leave` takes it out, or remove it from another one";
        return Err(FleetRefusal::Conflict { reason: reason.to_owned() });
    }
    let Some(root) = directory.root().map_err(|error| failed(format!("{error:#}")))? else {
        return Err(FleetRefusal::Conflict {
            reason: format!(
                "only the root's key removes a host, and it is not at {}: put it there for as long as this takes",
                directory.root_file().display()
            ),
        });
    };
    let held = state.policies.get(CHARTER_NAME).ok_or(FleetRefusal::Off)?;
    let charter = Charter::decode(&held.policy.body).map_err(|error| failed(error.to_string()))?;
    let why: String = why.chars().take(NAME_BYTES_MAX / 4).collect();
    let members = state.members.iter().map(|member| member.id);
    let document = root
        .sign_charter(&charter.without(*id, unix_ms() / 1000, &why, members))
        .map_err(|error| failed(error.to_string()))?;
    node.order(Order::Publish(document));
    let name = name_of(&state, *id);
    let notes = vec![
        format!(
            "{} are told; each refuses {name} from the moment at which it hears of it",
            hosts(state.alive() as u64)
        ),
        format!("{name} itself keeps the policy that is in force there"),
    ];
    Ok((FleetOutcome { done: format!("{name} is no longer a member"), notes }, format!("{name} {why}")))
}
