(* environment.ml - environments of children, made from others

   Given to the host as it is. An environment is a list of NAME=VALUE, as
   command.ml takes it. *)

let current () = Array.to_list (Unix.environment ())

let check name =
  if name = "" || String.contains name '=' || String.contains name '\000' then
    invalid_arg
      (Printf.sprintf "Xlchild.Environment: %S is no name of a variable" name)

let value name entry =
  let n = String.length name in
  if
    String.length entry > n
    && entry.[n] = '='
    && String.sub entry 0 n = name
  then Some (String.sub entry (n + 1) (String.length entry - n - 1))
  else None

let find name env =
  check name;
  List.find_map (value name) env

let unset name env =
  check name;
  List.filter (fun entry -> value name entry = None) env

let set name text env = unset name env @ [ name ^ "=" ^ text ]

let extend ?env variables =
  let env = match env with Some env -> env | None -> current () in
  List.fold_left (fun env (name, text) -> set name text env) env variables
