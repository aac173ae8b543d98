;; Has a list of a list of a list, and so on.
;; group: load
;; refused: does_not_load
(component
  (type (list u8))
  (;times 20000;)(type (list #))
  (;end;)
  (;memory;)
  (;skill;))
