-- A text in the form in which mentions are compared, however its accents are encoded. Only UTF-8 has other forms.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION chat_composed(TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS %L',
        CASE WHEN getdatabaseencoding() = 'UTF8' THEN 'SELECT normalize($1, NFC)' ELSE 'SELECT $1' END);
END
$$;
