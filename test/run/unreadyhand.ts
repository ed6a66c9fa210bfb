/** A worker that does not get ready; for crew.test.ts. */
throw new Error("no luck today");
