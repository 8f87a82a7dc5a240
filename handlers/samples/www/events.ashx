<%@ WebHandler Class="samples::Events, events" %>
