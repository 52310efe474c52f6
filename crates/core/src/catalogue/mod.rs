//! The catalogue: what is known of providers, read from the TOML files under `catalog/` that are built into the binary.
//!
//! Strict: an unknown key, a wrong type or an impossible value is an error that names file, line and field. An integration
//! may bring an entry of its own, inline, with the same fields and the same checks. Reading an entry changes nothing else;
//! what an entry means is told in [`crate::provider`].

mod check;
mod domain;
mod error;
mod inherit;
mod kinds;
mod lint;
mod mechanisms;
mod names;
mod read;
mod variables;

pub use check::Fault;
pub use error::{EntryError, EntryErrors, Wrong};
pub(crate) use lint::other_domains;
pub use lint::{Finding, Problem, lint};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::ProviderId;
use crate::integration::ProviderSource;
use crate::policy::PolicyOverrides;
use crate::provider::{AfterGrant, Also, Provider, Rule, SecondExchange, SignedClaims, Variable};

/// The files of `catalog/`, name and text.
mod files {
    include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
}

/// The id of an inline entry that names none.
const INLINE: &str = "custom";

/// All entries, by id.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<ProviderId, Arc<Provider>>,
    /// The entry that each one's family begins with.
    heads: BTreeMap<ProviderId, ProviderId>,
}

impl Catalogue {
    /// The catalogue that is built in.
    ///
    /// # Errors
    /// [`EntryErrors`]; a test holds that there are none.
    pub fn embedded() -> Result<Self, EntryErrors> {
        Catalogue::from_files(Catalogue::embedded_files())
    }

    /// The files that are built in: name (`strava.toml`) and text.
    pub fn embedded_files() -> impl Iterator<Item = (&'static str, &'static str)> {
        files::FILES.iter().copied()
    }

    /// A catalogue from files: name (`strava.toml`) and text.
    ///
    /// # Errors
    /// [`EntryErrors`] with everything that is wrong, by file and line.
    pub fn from_files<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Self, EntryErrors> {
        Catalogue::from_files_on(files, false)
    }

    /// As [`Catalogue::from_files`]; plain http is accepted on loopback if `private_networks` are allowed.
    ///
    /// # Errors
    /// [`EntryErrors`] with everything that is wrong, by file and line.
    pub fn from_files_on<'t>(
        files: impl IntoIterator<Item = (&'t str, &'t str)>,
        private_networks: bool,
    ) -> Result<Self, EntryErrors> {
        match Catalogue::sifted(files, private_networks) {
            (all, errors) if errors.is_empty() => Ok(all),
            (_, errors) => Err(EntryErrors(errors)),
        }
    }

    /// The entries among these files that can be used, and what is wrong with the others, by file and line: for who wants to
    /// be told everything at once.
    pub fn sifted<'t>(
        files: impl IntoIterator<Item = (&'t str, &'t str)>,
        private_networks: bool,
    ) -> (Self, Vec<EntryError>) {
        let (entries, errors) = read::all(files, private_networks);
        let mut all = Catalogue::default();
        for read::Read { id, entry, head } in entries {
            all.heads.insert(id.clone(), head);
            all.entries.insert(id, Arc::new(entry));
        }
        (all, errors)
    }

    /// An entry.
    pub fn get(&self, id: &ProviderId) -> Option<Arc<Provider>> {
        self.entries.get(id).cloned()
    }

    /// All entries, by id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.entries.values()
    }

    /// The names of the fields that an entry can have, and of those of its tables: for the page that describes them.
    pub fn fields() -> Vec<(&'static str, Vec<&'static str>)> {
        [
            ("", names::of::<Provider>()),
            ("variables", names::of::<Variable>()),
            ("assertion", names::of::<SignedClaims>()),
            ("also", names::of::<Also>()),
            ("after_grant", names::of::<AfterGrant>()),
            ("second_exchange", names::of::<SecondExchange>()),
            ("rules", names::of::<Rule>()),
            ("policy", PolicyOverrides::NAMES),
        ]
        .map(|(table, fields)| (table, fields.to_vec()))
        .to_vec()
    }

    /// An entry that an integration brings: whole, inherited where it `extends` a catalogue entry, and checked. Plain http
    /// is accepted on loopback if `private_networks` are allowed. An entry counts as leaving out what it leaves at the
    /// default.
    ///
    /// # Errors
    /// [`Fault`], which names the field and never repeats its value.
    pub fn inline(&self, entry: &Provider, private_networks: bool) -> Result<Provider, Fault> {
        let mut whole = match &entry.extends {
            Some(parent) => {
                let parent = self.get(parent).ok_or_else(|| {
                    Fault::new("extends", "expected the id of a catalogue entry (GET /v1/providers lists them)")
                })?;
                inherit::inline(entry, &parent)?
            }
            None => entry.clone(),
        };
        whole.extends = None;
        whole.template = false;
        if whole.id.is_none() {
            whole.id = INLINE.parse().ok();
        }
        if whole.name.is_empty() {
            whole.name = check::host_of(&whole.token_url).unwrap_or_else(|| INLINE.to_owned());
        }
        kinds::settle(&mut whole);
        check::check(&whole, private_networks)?;
        Ok(whole)
    }

    /// What an integration's source stands for: a catalogue entry with endpoints, or an inline entry, checked.
    ///
    /// # Errors
    /// [`Fault`]; its field is empty where the source itself is wrong.
    pub fn resolve(&self, source: &ProviderSource, private_networks: bool) -> Result<Arc<Provider>, Fault> {
        match source {
            ProviderSource::Catalogue(id) => match self.get(id) {
                None => Err(Fault::new(
                    "",
                    "expected the id of a catalogue entry (GET /v1/providers lists them), or an object with the fields of one",
                )),
                Some(entry) if entry.template => Err(Fault::new(
                    "",
                    "this entry has no endpoints: expected an object with `extends` set to this id, and the provider's endpoints",
                )),
                Some(entry) => Ok(entry),
            },
            ProviderSource::Inline(entry) => self.inline(entry, private_networks).map(Arc::new),
        }
    }
}
