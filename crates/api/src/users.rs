//! Users, their roles, passwords and tokens. Deliberately not here: how they are kept, which is `access::users`. Invariant:
//! who loses a right loses the sessions that had it, before the answer comes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::access::{
    PasswordRequest, Role, RoleRequest, TokenIssued, TokenNamed, TokenRequest, UserNamed, UserOutcome, UserPage,
    UserRequest,
};
use serde::Serialize;

use crate::access::{Body, Commander, Detail, Granted, HOST_USER, check_name, fits, too_low};
use crate::error::{Problem, Refusal};
use crate::params::Pairs;
use crate::refusals::{RoleTooLow, UserUnchanged};
use crate::routes::json;
use crate::state::Shared;

/// An answer, and what the trail says of it.
async fn answer<T: Serialize + Send + Sync + 'static>(document: T, detail: String) -> Result<Response, Refusal> {
    let mut response = json(StatusCode::OK, Arc::new(document)).await?;
    response.extensions_mut().insert(Detail(detail));
    Ok(response)
}

async fn done(done: String) -> Result<Response, Refusal> {
    let detail = done.clone();
    answer(UserOutcome { done }, detail).await
}

/// Who there is, with what role and which tokens.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "access",
    operation_id = "users",
    responses(
        (status = 200, description = "The users.", body = UserPage),
        RoleTooLow,
    )
)]
pub(crate) async fn users(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    json(StatusCode::OK, Arc::new(shared.access.users.page())).await
}

/// Adds a user.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "access",
    operation_id = "user_add",
    request_body = UserRequest,
    responses(
        (status = 200, description = "They may log in.", body = UserOutcome),
        (status = 400, description = "The name or the password is not possible.", body = Problem),
        (status = 409, description = "There is such a user, or no room or place for one.", body = Problem),
        UserUnchanged,
    )
)]
pub(crate) async fn add(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<UserRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let UserRequest { name, role, password } = request;
    check_name(&name)?;
    fits(&password, &name)?;
    let access = &shared.access;
    let hash = access.hasher.hash(password).await?;
    access.users.change(|book| book.add(&name, role, hash, access.clock.now().wall)).await?;
    done(format!("user {name} is added with the role {}", role.name())).await
}

/// Removes a user, their tokens and their sessions.
#[utoipa::path(
    delete,
    path = "/api/v1/users",
    tag = "access",
    operation_id = "user_remove",
    request_body = UserNamed,
    responses(
        (status = 200, description = "They are gone.", body = UserOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 404, description = "There is no such user.", body = Problem),
        (status = 409, description = "It is the last admin.", body = Problem),
        UserUnchanged,
    )
)]
pub(crate) async fn remove(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(UserNamed { name }): Body<UserNamed>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    shared.access.users.change(|book| book.remove(&name)).await?;
    shared.access.sessions().end_of_user(&name);
    done(format!("user {name} is removed")).await
}

/// Gives a user another role; their sessions end.
#[utoipa::path(
    post,
    path = "/api/v1/users/role",
    tag = "access",
    operation_id = "user_role",
    request_body = RoleRequest,
    responses(
        (status = 200, description = "They have it.", body = UserOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 404, description = "There is no such user.", body = Problem),
        (status = 409, description = "It is the last admin.", body = Problem),
        UserUnchanged,
    )
)]
pub(crate) async fn role(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(RoleRequest { name, role }): Body<RoleRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    shared.access.users.change(|book| book.set_role(&name, role)).await?;
    shared.access.sessions().end_of_user(&name);
    done(format!("user {name} has the role {}", role.name())).await
}

/// Sets a password: one's own with the present one, anybody's as an admin. Their sessions end.
#[utoipa::path(
    post,
    path = "/api/v1/users/password",
    tag = "access",
    operation_id = "user_password",
    request_body = PasswordRequest,
    responses(
        (status = 200, description = "It is set.", body = UserOutcome),
        (status = 400, description = "The password is not possible.", body = Problem),
        (status = 401, description = "Nobody is known to ask.", body = Problem),
        (status = 403, description = "The present password is wrong, or it is somebody else's.", body = Problem),
        (status = 404, description = "There is no such user.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 429, description = "The present password was wrong too often.", body = Problem),
    )
)]
pub(crate) async fn password(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    Granted { identity, .. }: Granted,
    pairs: Pairs,
    Body(request): Body<PasswordRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let Some(identity) = identity else { return Err(Refusal::engine_gone()) };
    let own = identity.user.as_deref().unwrap_or_default();
    let name = request.name.unwrap_or_else(|| own.to_owned());
    if name == HOST_USER {
        let (detail, hint) = ("the host's own admin has no password", "say whose in `name`");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_name", detail, hint));
    }
    let access = &shared.access;
    if name == own {
        let (peer, now) = (caller.peer.ip(), access.clock.now().elapsed);
        let limited = |wait| Refusal::too_many("the present password was wrong too often", wait);
        access.lockout().attempt(peer, Some(&name), now).map_err(limited)?;
        let kept = access.users.kept(&name).map(|(hash, _)| hash);
        if !access.hasher.is_right(request.current.unwrap_or_default(), kept).await? {
            let (detail, hint) = ("`current` is not the present password", "send the present one along");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong_password", detail, hint));
        }
        access.lockout().succeeded(peer, Some(&name));
    } else if identity.role < Role::Admin {
        return Err(too_low(Role::Admin, &identity));
    }
    fits(&request.password, &name)?;
    let hash = access.hasher.hash(request.password).await?;
    access.users.change(|book| book.set_password(&name, hash)).await?;
    access.sessions().end_of_user(&name);
    done(format!("user {name} has a new password")).await
}

/// Makes a token for a user, which has their role and is shown only now.
#[utoipa::path(
    post,
    path = "/api/v1/users/tokens",
    tag = "access",
    operation_id = "user_token_add",
    request_body = TokenRequest,
    responses(
        (status = 200, description = "The token.", body = TokenIssued),
        (status = 400, description = "The label is not possible.", body = Problem),
        (status = 404, description = "There is no such user.", body = Problem),
        (status = 409, description = "This agent keeps no users.", body = Problem),
        UserUnchanged,
    )
)]
pub(crate) async fn add_token(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(TokenRequest { name, label }): Body<TokenRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let now = shared.access.clock.now().wall;
    let issued = shared.access.users.change(|book| book.add_token(&name, &label, now)).await?;
    let detail = format!("user {name} has the token {} ({})", issued.id, label.trim());
    answer(issued, detail).await
}

/// Takes a token away, and ends the sessions that were opened with it.
#[utoipa::path(
    delete,
    path = "/api/v1/users/tokens",
    tag = "access",
    operation_id = "user_token_remove",
    request_body = TokenNamed,
    responses(
        (status = 200, description = "It is worth nothing any more.", body = UserOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 404, description = "There is no such user or token.", body = Problem),
        (status = 409, description = "This agent keeps no users.", body = Problem),
        UserUnchanged,
    )
)]
pub(crate) async fn remove_token(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(TokenNamed { name, id }): Body<TokenNamed>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    shared.access.users.change(|book| book.remove_token(&name, &id)).await?;
    shared.access.sessions().end_of_token(&name, &id);
    done(format!("user {name} no longer has the token {id}")).await
}
