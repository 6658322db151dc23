//! Which role each route needs. A route cannot be written down without it, and there is no other way to the router.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post};
use hivewall_view::access::Role;

use crate::state::Shared;
use crate::web;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing: it tells nothing that only some may know.
    Anyone,
    /// This role; it changes nothing.
    Read(Role),
    /// This role, shown by a token or a session; it is kept in the trail.
    Change(Role),
}

impl Right {
    pub(crate) const READ: Self = Self::Read(Role::Viewer);
}

/// A path with what answers it, and what that needs.
pub(crate) struct Route {
    path: &'static str,
    handlers: MethodRouter<Arc<Shared>>,
    rights: Vec<(Method, Right)>,
}

/// A path that nothing answers yet.
pub(crate) fn route(path: &'static str) -> Route {
    Route { path, handlers: MethodRouter::new(), rights: Vec::new() }
}

impl Route {
    pub(crate) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(self, right: Right, handler: H) -> Self {
        self.and(Method::GET, right, get(handler))
    }

    pub(crate) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(self, right: Right, handler: H) -> Self {
        self.and(Method::POST, right, post(handler))
    }

    pub(crate) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(self, right: Right, handler: H) -> Self {
        self.and(Method::DELETE, right, delete(handler))
    }

    fn and(mut self, method: Method, right: Right, handlers: MethodRouter<Arc<Shared>>) -> Self {
        self.handlers = self.handlers.merge(handlers);
        self.rights.push((method, right));
        self
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Each method and what it needs.
    pub(crate) fn rights(&self) -> &[(Method, Right)] {
        &self.rights
    }
}

/// What each route needs.
#[derive(Debug, Default)]
pub(crate) struct Rights(HashMap<(String, Method), Right>);

impl Rights {
    /// Of a route by its pattern; HEAD is as GET. What is nowhere answered needs what reading does, so that nobody learns
    /// without a login what there is.
    pub(crate) fn of(&self, pattern: Option<&str>, method: &Method) -> Right {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        // The page's files are there for whoever is to log in.
        if *method == Method::GET && pattern.is_some_and(web::is_page) {
            return Right::Anyone;
        }
        let right = pattern.and_then(|pattern| self.0.get(&(pattern.to_owned(), method.clone())));
        right.copied().unwrap_or(Right::READ)
    }

    /// Puts the routes into a router, and their rights here.
    pub(crate) fn gather(routes: Vec<Route>) -> (Router<Arc<Shared>>, Self) {
        let mut rights = HashMap::new();
        let router = routes.into_iter().fold(Router::new(), |router, route| {
            rights.extend(route.rights.into_iter().map(|(method, right)| ((route.path.to_owned(), method), right)));
            router.route(route.path, route.handlers)
        });
        (router, Self(rights))
    }
}
