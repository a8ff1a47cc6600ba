-- Ends a statement whose time is over: the one that stores messages has waited for a lock until its senders were told that they were
-- not stored. As if its `statement_timeout` had run out, which cannot be set in the same round trip.
CREATE FUNCTION chat_reject_late() RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the time to store these messages is over' USING ERRCODE = 'query_canceled';
END
$$;
