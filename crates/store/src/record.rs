//! What a token call reads: a connection with its grant, sealed; and the mark of what has been committed.

use std::ops::Deref;
use std::sync::Arc;

use evergrant_core::connection::Connection;
use evergrant_core::grant::Grant;
use evergrant_core::id::ConnectionId;
use evergrant_core::secret::{AccessToken, RefreshToken};

use crate::db::{Row, Sql, values};
use crate::error::StoreError;
use crate::row;
use crate::seal::{KeyRing, Place, SealedBytes};

/// Something that has been committed. Only this crate makes it, so that a token that nobody saved can be neither shown
/// nor used:
///
/// ```compile_fail,E0423
/// let unsaved = evergrant_store::Durable("a token that nobody saved");
/// ```
///
/// ```compile_fail,E0624
/// let unsaved = evergrant_store::Durable::committed("a token that nobody saved");
/// ```
#[derive(Clone, Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    pub(crate) fn committed(value: T) -> Self {
        Durable(value)
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Durable<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A connection with its grant as it is kept in memory: sealed.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// The connection.
    pub connection: Arc<Connection>,
    pub(crate) sealed: Option<SealedGrant>,
}

/// A grant as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct SealedGrant {
    pub generation: u64,
    pub token_type: String,
    pub access_token: Option<SealedBytes>,
    pub refresh_token: Option<SealedBytes>,
}

impl SealedGrant {
    /// Seals a grant for a row of `table`.
    pub fn seal(
        ring: &KeyRing,
        table: &'static str,
        row: &str,
        generation: u64,
        grant: &Grant,
    ) -> Result<Self, StoreError> {
        let place = |column| Place { table, row, column, generation };
        Ok(SealedGrant {
            generation,
            token_type: grant.token_type.clone(),
            access_token: ring
                .seal_text(place("access_token"), grant.access_token.as_ref().map(|token| token.expose()))?,
            refresh_token: ring
                .seal_text(place("refresh_token"), grant.refresh_token.as_ref().map(|token| token.expose()))?,
        })
    }

    /// Opens what stands in a row of `table`.
    pub fn open(&self, ring: &KeyRing, table: &'static str, row: &str) -> Result<Grant, StoreError> {
        let access_token = self.access(ring, table, row)?;
        let place = Place { table, row, column: "refresh_token", generation: self.generation };
        let refresh_token = match &self.refresh_token {
            Some(sealed) => Some(RefreshToken::new(ring.open_text(place, sealed)?.as_str())),
            None => None,
        };
        Ok(Grant { access_token, refresh_token, token_type: self.token_type.clone() })
    }

    pub fn access(&self, ring: &KeyRing, table: &'static str, row: &str) -> Result<Option<AccessToken>, StoreError> {
        let place = Place { table, row, column: "access_token", generation: self.generation };
        let Some(sealed) = &self.access_token else { return Ok(None) };
        Ok(Some(AccessToken::new(ring.open_text(place, sealed)?.as_str())))
    }

    /// Reads generation, token type, access and refresh token from four columns in a row; none where there is no grant.
    pub fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(token_type) = row.opt_text(at + 1)? else { return Ok(None) };
        let (access_token, refresh_token) = (row.opt_sealed(at + 2)?, row.opt_sealed(at + 3)?);
        Ok(Some(SealedGrant { generation: row.count(at)?, token_type, access_token, refresh_token }))
    }

    /// Roughly what it takes in memory.
    fn weight(&self) -> usize {
        let length = |sealed: &Option<SealedBytes>| sealed.as_ref().map_or(0, SealedBytes::len);
        length(&self.access_token) + length(&self.refresh_token) + self.token_type.len()
    }
}

impl TokenRecord {
    /// The token type of the grant, `Bearer` where there is none.
    pub fn token_type(&self) -> &str {
        self.sealed.as_ref().map_or("Bearer", |sealed| sealed.token_type.as_str())
    }

    /// Reads one; none if there is no such connection.
    pub(crate) fn load(sql: &Sql<'_>, id: &ConnectionId) -> Result<Option<Self>, StoreError> {
        sql.one(row::BY_ID, values![id], Self::read)
    }

    /// Reads the columns of [`row::COLUMNS`].
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let connection = Arc::new(row::connection(row)?);
        Ok(TokenRecord { connection, sealed: SealedGrant::read(row, row::GRANT)? })
    }

    pub(crate) fn open(&self, ring: &KeyRing) -> Result<Option<Grant>, StoreError> {
        self.sealed.as_ref().map(|sealed| sealed.open(ring, "grants", self.connection.id.as_str())).transpose()
    }

    /// Roughly what it takes in memory.
    pub(crate) fn weight(&self) -> u64 {
        let connection = &self.connection;
        let words = |map: &serde_json::Map<String, serde_json::Value>| {
            map.iter().map(|(name, _)| name.len() + 64).sum::<usize>()
        };
        let scopes: usize = connection.requested_scopes.iter().map(|scope| scope.len() + 24).sum();
        let free = words(&connection.metadata) + words(&connection.provider_data);
        let grant = self.sealed.as_ref().map_or(0, SealedGrant::weight);
        (1024 + 2 * scopes + free + grant) as u64
    }
}
