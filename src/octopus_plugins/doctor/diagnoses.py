"""Everything that a step can find wrong: what it most likely means, and the one thing to do.

``docs/doctor.md`` is made of it. A code begins with the name of its step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that can be wrong.

    Attributes:
        code: Its name, ``step.what``; those that every step can make have no dot.
        found: What is found, for the documentation.
        why: Why it is likely so. In braces: what the step saw.
        remedy: The one command or setting that helps.
        warning: Whether everything works all the same.
    """

    code: str
    found: str
    why: str
    remedy: str
    warning: bool = False

    @property
    def step(self) -> str:
        """The step that finds it; "" for those of every step."""
        return self.code.rpartition(".")[0]


_OURS = (
    Diagnosis(
        "settings.no_file",
        "the file that `OCTOPUS_CONFIG` names is not there",
        "OCTOPUS_CONFIG names a file that was moved, or is not on this machine",
        "set OCTOPUS_CONFIG to the file that you mean, or unset it",
    ),
    Diagnosis(
        "settings.not_toml",
        "the file cannot be read as TOML",
        "a quote or a bracket is missing there",
        "mend that place of {file}",
    ),
    Diagnosis(
        "settings.unknown_key",
        "a key or a profile that there is not",
        "it is misspelt, or of another version of octopus-plugins",
        "correct or remove it; docs/configuration.md has all settings",
    ),
    Diagnosis(
        "settings.exposed",
        "the file has a password and others can read it",
        "it was made with the usual mode of files",
        "`chmod 600 {file}`",
    ),
    Diagnosis(
        "settings.wrong_value",
        "a setting has a value that it cannot have",
        "it is of another kind than this setting takes",
        "correct that setting where it is said to stand",
    ),
    Diagnosis(
        "settings.clear_text",
        "everything would be sent in clear text over a network",
        "no security_protocol is set, or one without TLS, and the brokers are not on this machine",
        "set security_protocol to SSL or SASL_SSL (or allow_plaintext = true where the network is trusted)",
    ),
    Diagnosis(
        "settings.incomplete",
        "a part of the credentials is missing",
        "SASL needs mechanism, user and password, mTLS a certificate and its key",
        "set what is named, in the file or by its OCTOPUS_ variable",
    ),
    Diagnosis(
        "settings.variable",
        "an environment variable looks like a misspelt setting",
        "it is ignored: no setting has this name",
        "correct or unset it",
        warning=True,
    ),
)

_ACCESS = (
    Diagnosis(
        "login.package",
        "a package for the Octopus service is missing",
        "octopus-plugins was installed without its extra of that name",
        "`pip install 'octopus-plugins[octopus]'`",
    ),
    Diagnosis(
        "login.missing",
        "nobody is logged in",
        "nobody has logged in on this machine, or somebody has logged out",
        "`octopus login`",
    ),
    Diagnosis(
        "login.only_key",
        "a key is here, and no login",
        "a service account logged in, or the login was removed: runs work, missing topics cannot be created",
        "`octopus login`, where topics are to be created from here",
        warning=True,
    ),
    Diagnosis(
        "login.ended",
        "Globus Auth does not renew the login",
        "the login was revoked, or has ended for lack of use",
        "`octopus login`",
    ),
    Diagnosis(
        "login.exposed",
        "others can read or replace the tokens of the login",
        "file or directory was copied, or its mode changed; they are not used like this",
        "{command}",
    ),
    Diagnosis(
        "login.damaged",
        "the file of the tokens is damaged",
        "somebody edited it, or copied a part of it",
        "`rm {file}`, then `octopus login`",
    ),
    Diagnosis(
        "login.client_refused",
        "Globus Auth refuses the service account",
        "its id or its secret is wrong, or was replaced",
        "set DIASPORA_SDK_CLIENT_ID and DIASPORA_SDK_CLIENT_SECRET to those in force",
    ),
    Diagnosis(
        "login.globus_away",
        "Globus Auth does not answer",
        "this machine has no way to auth.globus.org; runs need none, only logging in does",
        "check the network (proxy: HTTPS_PROXY), or run `octopus doctor` where there is one",
    ),
    Diagnosis(
        "key.missing",
        "the key is not here",
        "it is fetched at the login, and kept in a file that was removed",
        "`octopus login`",
    ),
    Diagnosis(
        "key.exposed",
        "others can read or replace the key",
        "the file was copied, or its mode changed; it is not used like this",
        "{command}",
    ),
    Diagnosis(
        "key.damaged",
        "the file of the key is damaged",
        "it was edited, or copied in part",
        "`octopus login` writes it anew",
    ),
    Diagnosis(
        "key.other_service",
        "the key is of another web service",
        "the file was copied from another directory",
        "`octopus login`",
    ),
    Diagnosis(
        "key.other_user",
        "login and key are of different people",
        "somebody else logged in with these files",
        "`octopus logout`, then `octopus login`",
    ),
    Diagnosis(
        "key.other_namespace",
        "another namespace is asked for than the key's",
        "OCTOPUS_NAMESPACE is set, or namespace in the file; on the service the login says it",
        "unset namespace (OCTOPUS_NAMESPACE)",
    ),
    Diagnosis("key.expired", "the key has ended", "it was one for a limited time", "`octopus login`"),
    Diagnosis(
        "key.no_address",
        "the service told no bootstrap servers",
        "it does not tell them to everybody",
        "set OCTOPUS_BOOTSTRAP_SERVERS to those that the operators of Octopus name",
    ),
    Diagnosis(
        "service.unknown_host",
        "the host of the web service is unknown",
        "service_url is misspelt, or this machine resolves no outside names",
        "check service_url (OCTOPUS_SERVICE_URL), then the network",
    ),
    Diagnosis(
        "service.away",
        "the web service takes no connection",
        "it is down, or a firewall is between; runs that have their topics go on without it",
        "try again later; if others reach it, check service_url and the proxy (HTTPS_PROXY)",
    ),
    Diagnosis(
        "service.slow",
        "the web service does not answer in time",
        "it is overloaded, or its answers are lost on the way; runs that have their topics go on without it",
        "try again with `octopus doctor --timeout {twice:.0f}`, and set OCTOPUS_SERVICE_TIMEOUT if that helps",
    ),
    Diagnosis(
        "service.untrusted",
        "the certificate of the web service is not trusted",
        "a proxy opens the connection, or service_url is not the service's",
        "set REQUESTS_CA_BUNDLE to the authority of your site's proxy",
    ),
    Diagnosis(
        "service.failing",
        "the web service answers with an error of its own",
        "something broke there",
        "try again later; if it stays, tell whoever runs the service",
    ),
    Diagnosis(
        "service.wrong_url",
        "another web server answers",
        "service_url leads to something that is not the Octopus web service",
        "unset service_url (OCTOPUS_SERVICE_URL), or correct it",
    ),
    Diagnosis(
        "service.refused",
        "the web service refuses the login",
        "the login is for another service, or lacks what it asks for now",
        "`octopus logout`, then `octopus login`",
    ),
    Diagnosis(
        "clock.skewed",
        "the clock of this machine is wrong",
        "AWS refuses signatures that are more than five minutes early or late",
        "set the clock, and keep it right: `sudo timedatectl set-ntp true`",
    ),
    Diagnosis(
        "clock.drifting",
        "the clock of this machine is off",
        "nothing keeps it right; beyond five minutes AWS refuses its signatures",
        "`sudo timedatectl set-ntp true`",
        warning=True,
    ),
)

_NETWORK = (
    Diagnosis(
        "address.no_local_broker",
        "no broker runs on this machine",
        "none was started, or it has ended; profile 'local' is what holds where none is set",
        "`octopus broker up` (or set OCTOPUS_PROFILE to kafka or octopus)",
    ),
    Diagnosis(
        "address.none",
        "no bootstrap servers are set",
        "profile '{profile}' has no address of its own",
        "set OCTOPUS_BOOTSTRAP_SERVERS, or bootstrap_servers under [{profile}]",
    ),
    Diagnosis(
        "address.unknown_host",
        "no bootstrap server has an address in DNS",
        "the name is misspelt, or known in another network only",
        "correct bootstrap_servers of profile '{profile}'",
    ),
    Diagnosis(
        "address.partly",
        "some bootstrap servers have no address in DNS",
        "their names are misspelt or out of date; the others are enough to begin with",
        "take them out of bootstrap_servers of profile '{profile}'",
        warning=True,
    ),
    Diagnosis(
        "connect.refused",
        "nobody listens there",
        "the port is wrong, or the broker is down",
        "check the port in bootstrap_servers; {start}",
    ),
    Diagnosis(
        "connect.silent",
        "nothing answers an attempt to connect",
        "a firewall drops it: compute nodes and offices often let few ports out",
        "have the way to {servers} opened, or run where it is",
    ),
    Diagnosis(
        "connect.unreachable",
        "the network knows no way there",
        "a VPN or an interface is down",
        "bring the network up that leads to {servers}",
    ),
    Diagnosis(
        "connect.partly",
        "some bootstrap servers take no connection",
        "these brokers are down; the others are enough to begin with",
        "none is needed, if they are known to be down",
        warning=True,
    ),
    Diagnosis(
        "tls.ca_file",
        "the file of CA certificates cannot be used",
        "ssl_ca_location names a file that is not there, or has no certificate in it",
        "set ssl_ca_location to the PEM file of the authority that the operator names",
    ),
    Diagnosis(
        "tls.client_file",
        "the client's certificate or key cannot be used",
        "one of the files is not there, is no PEM file, or the two do not belong together",
        "set ssl_certificate_location and ssl_key_location to a pair without a passphrase",
    ),
    Diagnosis(
        "tls.untrusted",
        "the broker's certificate is of an authority that is not trusted",
        "the operator has an authority of its own, and ssl_ca_location does not name it",
        "set ssl_ca_location to the certificate of the authority that the operator names",
    ),
    Diagnosis(
        "tls.host_name",
        "the broker's certificate is for another host name",
        "bootstrap_servers has an alias or an address that the certificate has not",
        "put the name that the certificate has into bootstrap_servers",
    ),
    Diagnosis(
        "tls.dates",
        "the broker's certificate has expired, or is not valid yet",
        "it was not renewed, or the clock of this machine is wrong",
        "check `date`; if that is right, ask the operator to renew the certificate",
    ),
    Diagnosis(
        "tls.client_certificate",
        "the broker refuses the client's certificate",
        "it wants one and none is set, or is of an authority that it does not trust",
        "set ssl_certificate_location and ssl_key_location to those that the operator gave you",
    ),
    Diagnosis(
        "tls.version",
        "the broker speaks no version of TLS that is taken",
        "it is an old one: TLS 1.2 is the least that is safe",
        "have the operator allow TLS 1.2 or later",
    ),
    Diagnosis(
        "tls.clear_text_port",
        "the broker speaks clear text there, and TLS is asked of it",
        "the port is that of another listener, or the broker has no TLS",
        "put the port of the TLS listener into bootstrap_servers (or set security_protocol to {without})",
    ),
    Diagnosis(
        "tls.tls_port",
        "the broker speaks TLS there, and clear text is sent to it",
        "security_protocol is not set to what this listener speaks",
        "set security_protocol to {with_tls}, and ssl_ca_location",
    ),
    Diagnosis(
        "tls.silent",
        "the broker takes the connection and never answers",
        "it hangs or is overloaded, or something between accepts connections in its place",
        "{restart}",
    ),
    Diagnosis(
        "tls.partly",
        "some bootstrap servers take the connection and say nothing",
        "these brokers hang, start or stop; the others are enough to begin with",
        "none is needed, if it passes within some minutes; else {restart}",
        warning=True,
    ),
    Diagnosis(
        "tls.closed",
        "the broker closes the connection before it has said anything",
        "it is starting or stopping, or only lets certain addresses in",
        "try again in a minute; then ask whoever runs it whether this machine may connect",
    ),
    Diagnosis(
        "tls.not_kafka",
        "something else than Kafka answers",
        "the port belongs to another service",
        "correct the port in bootstrap_servers",
    ),
)

_KAFKA = (
    Diagnosis(
        "auth.password",
        "the brokers refuse user and password",
        "one of the two is wrong, or the password was changed",
        "set sasl_username and sasl_password (OCTOPUS_SASL_PASSWORD) of profile '{profile}' to those in force",
    ),
    Diagnosis(
        "auth.mechanism",
        "the brokers do not take the SASL mechanism",
        "the operator uses another one; those that are taken are named above, where the broker tells them",
        "set sasl_mechanism of profile '{profile}' to the operator's",
    ),
    Diagnosis(
        "auth.no_sasl",
        "the brokers know no users there",
        "the listener lets anybody in, and a user is shown to it",
        "unset sasl_mechanism and sasl_username of profile '{profile}', or name the port where users log in",
    ),
    Diagnosis(
        "auth.no_user",
        "the brokers want a user",
        "no user is set, and they close connections that show none",
        "set sasl_mechanism, sasl_username and sasl_password of profile '{profile}'",
    ),
    Diagnosis(
        "auth.key",
        "the brokers refuse the key",
        "it was replaced (`octopus login --rotate` elsewhere) or taken away; one made just now takes some seconds",
        "`octopus login`; whatever runs goes on by itself then",
    ),
    Diagnosis(
        "auth.token",
        "no token can be made from the key",
        "the key, or what signs with it, cannot be used",
        "`octopus login`",
    ),
    Diagnosis(
        "auth.silent",
        "the brokers answer no question",
        "they take connections and are too busy, starting, or without a quorum",
        "try again in a minute; then {restart}",
    ),
    Diagnosis(
        "brokers.advertised",
        "brokers cannot be reached where the cluster says they are",
        "advertised.listeners names addresses that are not for this network; only the first contact works",
        "have the operator set advertised.listeners to what this machine can reach",
    ),
    Diagnosis(
        "topics.missing",
        "topics do not exist",
        "no run has made them yet, or they were deleted",
        "`octopus topics ensure`",
    ),
    Diagnosis(
        "topics.forbidden",
        "topics may not be seen",
        "the namespace is not yours, or nothing was granted to you yet",
        "set namespace of profile '{profile}' to your own, or ask the operator to grant it to you",
    ),
    Diagnosis(
        "topics.no_leader",
        "partitions have no leader",
        "the brokers that keep them are down",
        "ask the operator to bring the brokers back; meanwhile records wait in the spool",
    ),
    Diagnosis(
        "topics.few_copies",
        "not all copies of the topics are up to date",
        "a broker is down, or catching up",
        "none is needed, if it passes within some minutes; else ask the operator",
        warning=True,
    ),
    Diagnosis(
        "produce.forbidden",
        "nothing may be written to the topics",
        "the user may see them, and was not granted to write",
        "ask the operator to grant {user} Write on topics that begin with '{namespace}.'",
    ),
    Diagnosis(
        "produce.not_idempotent",
        "the brokers let this user write without idempotence only",
        "the operator did not grant it; we write with it, so that order and number stay right",
        "ask the operator to grant {user} IdempotentWrite on the cluster",
    ),
    Diagnosis(
        "produce.few_copies",
        "the brokers take no record for lack of copies",
        "fewer copies are up to date than min.insync.replicas asks for",
        "ask the operator to bring the brokers back; meanwhile records wait in the spool",
    ),
    Diagnosis(
        "produce.silent",
        "the record was not acknowledged in time",
        "the broker that leads the partition does not answer",
        "try again with `octopus doctor --timeout {twice:.0f}`; if it stays, ask whoever runs the brokers",
    ),
    Diagnosis(
        "produce.refused",
        "the brokers refuse the record",
        "a rule or a limit of the topic stands against it",
        "ask whoever runs the brokers, with what they say above",
    ),
    Diagnosis(
        "consume.forbidden",
        "nothing may be read from the topics",
        "the user may write, and was not granted to read",
        "ask the operator to grant {user} Read on topics that begin with '{namespace}.'",
    ),
    Diagnosis(
        "consume.lost",
        "the record that was written does not come back",
        "it was acknowledged; the broker is too busy to hand it out, or has lost it",
        "try again with `octopus doctor --timeout {twice:.0f}`; if it stays, ask whoever runs the brokers",
    ),
)

_DISK = (
    Diagnosis(
        "spool.not_writable",
        "the spool cannot be written",
        "the directory is not yours, is no directory, or is on a disk that is read only",
        "set OCTOPUS_SPOOL_DIR to a directory of your own",
    ),
    Diagnosis(
        "spool.full",
        "the disk of the spool is full",
        "no room or no quota is left; records wait in memory, and are dropped when that is used up",
        "make room, or set OCTOPUS_SPOOL_DIR to another disk",
    ),
    Diagnosis(
        "spool.no_locks",
        "the disk of the spool has no locks",
        "a network file system is mounted without them",
        "set OCTOPUS_SPOOL_DIR to a disk of this machine",
    ),
    Diagnosis(
        "spool.low",
        "the disk has less room than the spool may take",
        "a long outage would fill it",
        "make room, or lower spool_max_bytes (OCTOPUS_SPOOL_MAX_BYTES)",
        warning=True,
    ),
    Diagnosis(
        "spool.waiting",
        "records of processes that have ended wait",
        "their broker was away when they ended; the next run of this profile delivers them, too",
        "`octopus spool replay`",
        warning=True,
    ),
    Diagnosis(
        "counts.dropped",
        "events were dropped or refused of late",
        "samples find no room while the broker is away, records where the disk is full; the log of that run says which",
        "see `octopus spool list` and rejected.jsonl in {directory}",
        warning=True,
    ),
)

_EVERY_STEP = (
    Diagnosis(
        "slow",
        "a step takes too long",
        "what it asks does not answer, or this machine is very busy",
        "`octopus doctor --timeout {twice:.0f}`",
    ),
    Diagnosis(
        "unforeseen",
        "a step fails in a way that is not foreseen",
        "none that is known",
        "`octopus --debug doctor`, and report it with what that says",
    ),
)

DIAGNOSES = {each.code: each for each in (*_OURS, *_ACCESS, *_NETWORK, *_KAFKA, *_DISK, *_EVERY_STEP)}
"""Every diagnosis, by its code."""
