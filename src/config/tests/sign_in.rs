//! What stands around the HTTP face: the certificate, sessions, proxies, and what tokens may do.

use super::super::{Config, Right};
use super::{load, with_tenant};
use crate::domain::access::rights::{Role, Scope};

fn server(more: &str) -> Result<Config, String> {
    load(&with_tenant(more)).map(|loaded| loaded.config).map_err(|refused| refused.to_string())
}

#[test]
fn a_certificate_needs_its_key_and_paths_are_relative_to_the_file() {
    let config = server("[server.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n").expect("sound");
    let tls = config.server.tls.clone().expect("a certificate");
    assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("tls.crt"), Some("tls.key")));
    assert_eq!(config.client_url().as_deref(), Some("https://127.0.0.1:8080"));
    assert_eq!(server("").expect("sound").server.tls, None);
    for half in ["certificate = \"tls.crt\"", "key = \"tls.key\""] {
        let refused = server(&format!("[server.tls]\n{half}\n")).expect_err("half a pair");
        assert!(refused.contains("set both or none"), "{refused}");
    }
}

#[test]
fn a_session_does_not_idle_longer_than_it_lasts() {
    let sessions = server("").expect("sound").server.sessions;
    assert!(sessions.idle_timeout < sessions.max_lifetime);
    let refused = server("[server.sessions]\nidle = \"13h\"\n").expect_err("longer than the longest");
    assert!(refused.contains("server.sessions.idle: is longer than longest"), "{refused}");
}

#[test]
fn a_proxys_groups_become_roles_with_their_reach() {
    let toml = "[server.proxy]\npeers = [\"10.0.0.0/8\", \"::1\"]\nuser_header = \"X-User\"\ngroups_header = \"X-Groups\"\n\
                [[server.proxy.roles]]\nid = \"floor\"\ngroup = \"f\"\nrole = \"supervisor\"\ntenants = [\"acme\"]\nteams = [\"acme/Care & Co\"]\n\
                [[server.proxy.roles]]\nid = \"all\"\ngroup = \"a\"\nrole = \"admin\"\n";
    let proxy = server(toml).expect("sound").server.proxy;
    assert_eq!((proxy.user_header.as_deref(), proxy.groups_separator), (Some("x-user"), ','));
    assert_eq!(proxy.roles[0].scope, Scope::Only([("acme".into(), Some(["Care & Co".into()].into()))].into()));
    assert_eq!((proxy.roles[1].role, &proxy.roles[1].scope), (Role::Admin, &Scope::Everywhere));
}

#[test]
fn what_a_proxy_cannot_be_is_said_at_its_place() {
    let roles = |role: &str| {
        format!(
            "[server.proxy]\npeers = [\"10.0.0.1\"]\nuser_header = \"X-User\"\ngroups_header = \"X-Groups\"\n[[server.proxy.roles]]\nid = \"r\"\n{role}\n"
        )
    };
    for (toml, said) in [
        (
            "[server.proxy]\npeers = [\"10.0.0.7/8\"]\n".to_owned(),
            "server.proxy.peers: must be an address or a network",
        ),
        (
            "[server.proxy]\nuser_header = \"X-User\"\n".to_owned(),
            "server.proxy.user_header: has no effect without a trusted proxy",
        ),
        (
            "[server.proxy]\npeers = [\"::1\"]\nuser_header = \"Authorization\"\n".to_owned(),
            "must be the name of a header",
        ),
        ("[server.proxy]\ngroups_separator = \"ab\"\n".to_owned(), "must be one character"),
        (roles("group = \"g\"\nrole = \"supervisor\""), "a supervisor needs teams"),
        (
            roles("group = \"g\"\nrole = \"viewer\"\ntenants = [\"acme\"]\nteams = [\"beta/Care\"]"),
            "names a team of none of the tenants",
        ),
        (roles("group = \"g\"\nrole = \"viewer\"\ntenants = [\"beta\"]"), "names a tenant that is not configured"),
        (roles("group = \"g\"\nrole = \"boss\""), "must be one of \"viewer\""),
        (roles("group = \"g\"\nrole = \"viewer\"").replace("groups_header = \"X-Groups\"\n", ""), "set groups_header"),
    ] {
        let refused = server(&toml).expect_err(&toml);
        assert!(refused.contains(said), "{toml}: {refused}");
    }
}

#[test]
fn the_right_change_of_older_configurations_keeps_its_meaning() {
    let token = |may: &str| {
        let toml = format!("[[server.tokens]]\nid = \"ops\"\ntoken = {{ env = \"API_TOKEN\" }}\nmay = {may}\n");
        server(&toml).expect("sound").server.tokens[0].rights.clone()
    };
    assert_eq!(token("[\"change\"]"), [Right::Change, Right::Webhooks, Right::RunJobs].into());
    assert_eq!(token("[\"read\", \"import\"]"), [Right::Read, Right::Import].into());
    assert_eq!(token("[\"accounts\", \"audit\"]"), [Right::Accounts, Right::Audit].into());
}
