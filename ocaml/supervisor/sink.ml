(* sink.ml - where the output of a service goes

   Called by loop.ml with what it read; log_file.ml or Xlchild_syslog is next.
   Trouble with a log never stops the daemon: it is an answer. *)

type syslog = { key : string; unfinished : Buffer.t }
type t = Nothing | To_syslog of syslog | To_file of Log_file.t

let open_ : Types.output -> t = function
  | Discard -> Nothing
  | Syslog key -> To_syslog { key; unfinished = Buffer.create 80 }
  | Log_file { path; most; keep } ->
      To_file (Log_file.open_ ~path ~most ~keep)

(* A message at most; a line that is longer becomes several. *)
let longest = 1024

let send_unfinished { key; unfinished } =
  if Buffer.length unfinished > 0 then begin
    Xlchild_syslog.send key (Buffer.contents unfinished);
    Buffer.clear unfinished
  end

let add_to_syslog log data =
  let rec from i =
    if i < String.length data then begin
      let line_end = String.index_from_opt data i '\n' in
      let until = Option.value line_end ~default:(String.length data) in
      let room = longest - Buffer.length log.unfinished in
      let n = min room (until - i) in
      Buffer.add_substring log.unfinished data i n;
      if n < until - i then begin
        send_unfinished log;
        from (i + n)
      end
      else if line_end <> None then begin
        send_unfinished log;
        from (until + 1)
      end
    end
  in
  from 0

let trouble f = try f (); None with Unix.Unix_error (errno, _, _) -> Some errno

let add t data =
  match t with
  | Nothing -> None
  | To_syslog log ->
      add_to_syslog log data;
      None
  | To_file log -> trouble (fun () -> Log_file.add log data)

let end_run = function
  | Nothing -> ()
  | To_syslog log -> send_unfinished log
  | To_file log -> ignore (trouble (fun () -> Log_file.end_line log))

let reopen = function
  | Nothing | To_syslog _ -> None
  | To_file log -> trouble (fun () -> Log_file.reopen log)

let close t =
  match t with
  | Nothing -> ()
  | To_syslog log -> send_unfinished log
  | To_file log -> ignore (trouble (fun () -> Log_file.close log))
