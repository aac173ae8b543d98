;; Its start function never ends, so it cannot even say what it is.
;; group: time
;; refused: bad_description
;; says: `describe`
;; says: limits.describe_seconds
(component
  (;memory;)
  (core module $m
    (func $spin (loop $again (br $again)))
    (start $spin))
  (core instance $i (instantiate $m))
  (;skill;))
