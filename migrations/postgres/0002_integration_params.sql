-- Values of a provider entry's variables that the operator gives with the integration.
ALTER TABLE integrations ADD COLUMN params TEXT COLLATE "C" NOT NULL DEFAULT '{}';
